"""Trees as the user has them: what a snapshot holds, and what a checkout touches."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from small_tree import CONFIGURE, DOMAINSET, FILES, UMA, commit, git, git_tree, plain_tree

from harness.errors import UsageError
from harness.host.cachesize import cache_entries
from harness.host.inuse import claimed
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.change import Change
from harness.source.revision import Snapshot
from harness.source.tree import SourceTree, being_read, locked, open_tree
from harness.subsystems.table import KNOWLEDGE

NOT_BUILT = "share/man/man9/zone.9"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "runtime")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return git_tree(tmp_path / "tree")


def opened(folder: Path | str, workspace: Workspace) -> SourceTree:
    return open_tree(str(folder), workspace, HostRunner(), knowledge=KNOWLEDGE)


def taken(folder: Path | str, workspace: Workspace, change: Change | None = None) -> Snapshot:
    return opened(folder, workspace).snapshot(change or Change())


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def user_state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything of the user's, with its times; git notes in an object's that it is in use."""
    return {
        str(path): (0 if "objects" in path.parts else path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_clean_clone_is_its_commit(folder: Path, workspace: Workspace) -> None:
    snapshot = taken(folder, workspace)
    assert snapshot.commit == git(folder, "rev-parse", "HEAD")
    assert not snapshot.dirty
    assert (snapshot.release, snapshot.llvm) == ("13.2-RELEASE", 14)


def test_equal_content_is_equal_wherever_it_comes_from(
    folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    plain = taken(plain_tree(tmp_path / "plain"), workspace)
    clone, url = taken(folder, workspace), taken(f"file://{folder}", workspace)
    for name in ("tree", "kernel", "toolchain", "loader", "config", "make"):
        assert len({getattr(snapshot, name) for snapshot in (plain, clone, url)}) == 1, name
    assert plain.commit is None


@pytest.mark.parametrize("versioned", [True, False])
def test_uncommitted_changes_are_in_it(
    tmp_path: Path, workspace: Workspace, versioned: bool
) -> None:
    folder = (git_tree if versioned else plain_tree)(tmp_path / "tree")
    before = taken(folder, workspace)
    (folder / UMA).write_text("int changed;\n")
    (folder / "sys/vm/new.c").write_text("int new;\n")
    (folder / DOMAINSET).write_text("int other;\n")
    (folder / "sys/kern/kern_main.c").unlink()
    tree = opened(folder, workspace)
    after = tree.snapshot(Change())
    assert after.tree != before.tree
    assert after.dirty is versioned
    out = files(tree.checkout(after))
    assert out[UMA] == "int changed;\n"
    assert out["sys/vm/new.c"] == "int new;\n"
    assert "sys/kern/kern_main.c" not in out


def test_change_that_is_undone_is_no_change(folder: Path, workspace: Workspace) -> None:
    before = taken(folder, workspace)
    (folder / UMA).write_text("int changed;\n")
    assert taken(folder, workspace).dirty
    (folder / UMA).write_text(FILES[UMA])
    assert taken(folder, workspace) == before


def test_revision_is_taken_without_uncommitted_changes(folder: Path, workspace: Workspace) -> None:
    first = taken(folder, workspace)
    (folder / UMA).write_text("int second;\n")
    commit(folder, "second")
    (folder / UMA).write_text("int third;\n")
    again = taken(folder, workspace, Change(revision="first"))
    assert (again.tree, again.dirty) == (first.tree, False)
    assert taken(folder, workspace, Change(revision="second")).tree != first.tree


def test_users_own_files_are_never_changed(folder: Path, workspace: Workspace) -> None:
    (folder / UMA).write_text("int changed;\n")
    (folder / "untracked.c").write_text("")
    before = user_state(folder)
    tree = opened(folder, workspace)
    for change in (Change(), Change(revision="first")):
        tree.checkout(tree.snapshot(change))
    assert user_state(folder) == before


def test_parts_hash_apart(folder: Path, workspace: Workspace) -> None:
    """So that a change of the kernel builds no toolchain, and one of a manual page nothing."""
    before = taken(folder, workspace)
    (folder / UMA).write_text("int changed;\n")
    kernel = taken(folder, workspace)
    assert kernel.kernel != before.kernel
    assert (kernel.toolchain, kernel.make, kernel.config) == (
        before.toolchain, before.make, before.config
    )  # fmt: skip
    (folder / NOT_BUILT).write_text("changed")
    assert taken(folder, workspace) == kernel


def test_checkout_holds_what_is_built_and_nothing_else(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    out = files(tree.checkout(tree.snapshot(Change())))
    assert out == {name: text for name, text in FILES.items() if name != NOT_BUILT}


def test_checkout_touches_only_what_differs(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    out = tree.checkout(tree.snapshot(Change()))
    times = {name: (out / name).stat().st_mtime_ns for name in (UMA, DOMAINSET)}
    (folder / UMA).write_text("int changed;\n")
    tree.checkout(tree.snapshot(Change()))
    assert (out / DOMAINSET).stat().st_mtime_ns == times[DOMAINSET]
    assert (out / UMA).stat().st_mtime_ns != times[UMA]


def test_checkout_mends_what_a_killed_one_left(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    snapshot = tree.snapshot(Change())
    out = tree.checkout(snapshot)
    (out / UMA).write_text("half a fi")
    (out / DOMAINSET).unlink()
    for name in ("snapshot", "changed", "checkout", "patched"):
        (tree.home / f"{name}.index.lock").write_text("")
    tree.checkout(tree.snapshot(Change()))
    assert (out / UMA).read_text() == FILES[UMA]
    assert (out / DOMAINSET).read_text() == FILES[DOMAINSET]


OURS = (
    "snapshot.index",
    "plain.index",
    "changed.index",
    "checkout.index",
    "patched.index",
    "lacking.json",
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(name, text, marks=[] if number % 3 == kind else pytest.mark.long)
        for number, name in enumerate(OURS)
        for kind, text in enumerate(["", "DIRC", "{}"])
    ],
)
@pytest.mark.parametrize("versioned", [True, False])
def test_damaged_file_of_ours_is_made_anew(
    tmp_path: Path, workspace: Workspace, name: str, text: str, versioned: bool
) -> None:
    folder = (git_tree if versioned else plain_tree)(tmp_path / "tree")
    (folder / "sys/vm/new.c").write_text("int new;\n")
    tree = opened(folder, workspace)
    before = tree.snapshot(Change())
    tree.checkout(before)
    (tree.home / name).write_text(text)
    after = tree.snapshot(Change())
    assert after == before
    assert files(tree.checkout(after))[UMA] == FILES[UMA]


def test_patch_is_applied_on_top_and_named_by_its_content(
    folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    patch = tmp_path / "a.patch"
    (folder / UMA).write_text(FILES[UMA] + "int added;\n")
    patch.write_text(git(folder, "diff") + "\n")
    git(folder, "checkout", "--", UMA)
    tree = opened(folder, workspace)
    snapshot = tree.snapshot(Change(patch=patch))
    assert snapshot.patch is not None
    assert len(snapshot.patch) == 12
    assert (tree.checkout(snapshot) / UMA).read_text().endswith("int added;\n")


def test_same_patch_on_an_edited_tree_may_no_longer_apply(
    folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    patch = tmp_path / "a.patch"
    (folder / UMA).write_text("int other;\n")
    patch.write_text(git(folder, "diff") + "\n")
    with pytest.raises(UsageError, match="does not apply") as caught:
        taken(folder, workspace, Change(patch=patch))
    assert UMA in caught.value.detail


PATCHES = {
    "edits": (UMA, "int edited;\n"),
    "makes": ("sys/vm/new.c", "int new;\n"),
    "makes-where-there-is-no-folder": ("sys/new/new.c", "int new;\n"),
    "removes": ("contrib/bmake/mk/sys.mk", None),
    "adds-outside": (NOT_BUILT, "changed\n"),
}


@pytest.mark.parametrize(
    ("kind", "edited"),
    [
        pytest.param(kind, edited, marks=[pytest.mark.long] * (edited and kind != "everything"))
        for kind in (*PATCHES, "renames", "everything")
        for edited in (False, True)
    ],
)
def test_patch_makes_of_a_tree_what_git_makes_of_its_files(
    folder: Path, workspace: Workspace, tmp_path: Path, kind: str, edited: bool
) -> None:
    other = "sys/kern/kern_main.c"
    if edited:
        (folder / other).write_text("int edited_before;\n")
    for name in PATCHES if kind == "everything" else [kind] if kind in PATCHES else []:
        path, text = PATCHES[name]
        if text is None:
            (folder / path).unlink()
        else:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
    if kind in ("renames", "everything"):
        (folder / CONFIGURE).rename(folder / "contrib/bmake/renamed")
    git(folder, "add", "--all")
    diff = ("diff", "--cached", "-M", "HEAD", "--", ".", f":!{other}")
    (tmp_path / "a.patch").write_text(git(folder, *diff) + "\n")
    after = taken(folder, workspace)
    git(folder, "reset", "--quiet", "--hard")
    if edited:
        (folder / other).write_text("int edited_before;\n")
    patched = taken(folder, workspace, Change(patch=tmp_path / "a.patch"))
    assert patched.tree == after.tree
    assert patched.dirty is edited
    if not edited:
        on_top = Change(revision="first", patch=tmp_path / "a.patch")
        assert taken(folder, workspace, on_top).tree == after.tree


def test_patch_goes_on_top_of_edits_in_the_same_file(
    folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    edited = "int edited;\n" + FILES[UMA]
    (folder / UMA).write_text(edited)
    git(folder, "add", UMA)
    (folder / UMA).write_text(edited + "int added;\n")
    (tmp_path / "a.patch").write_text(git(folder, "diff") + "\n")
    (folder / UMA).write_text(edited)
    tree = opened(folder, workspace)
    out = tree.checkout(tree.snapshot(Change(patch=tmp_path / "a.patch")))
    assert (out / UMA).read_text() == edited + "int added;\n"


def test_files_of_which_only_the_time_differs_are_no_change(
    folder: Path, workspace: Workspace
) -> None:
    before = taken(folder, workspace)
    for path in (UMA, DOMAINSET):
        os.utime(folder / path, (1, 1))
    assert taken(folder, workspace) == before


def test_mode_and_kind_of_a_file_are_part_of_it(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    (folder / UMA).chmod(0o755)
    (folder / DOMAINSET).unlink()
    (folder / DOMAINSET).symlink_to("uma_core.c")
    (folder / "sys/kern/kern_main.c").unlink()
    (folder / "sys/kern/kern_main.c").mkdir()
    (folder / "sys/kern/kern_main.c/inner.c").write_text("int inner;\n")
    snapshot = tree.snapshot(Change())
    out = tree.checkout(snapshot)
    assert os.access(out / UMA, os.X_OK)
    assert os.readlink(out / DOMAINSET) == "uma_core.c"
    assert (out / "sys/kern/kern_main.c/inner.c").read_text() == "int inner;\n"
    assert snapshot.dirty


def test_staged_and_merely_announced_files_are_in_it(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    for name, words in (("staged.c", ["add"]), ("announced.c", ["add", "--intent-to-add"])):
        (folder / "sys/vm" / name).write_text("int new;\n")
        git(folder, *words, f"sys/vm/{name}")
    out = tree.checkout(tree.snapshot(Change()))
    assert (out / "sys/vm/staged.c").exists()
    assert (out / "sys/vm/announced.c").exists()


def test_merge_that_is_not_done_is_taken_as_its_files_are(
    folder: Path, workspace: Workspace
) -> None:
    git(folder, "checkout", "--quiet", "-b", "side")
    (folder / UMA).write_text("int side;\n")
    commit(folder, "side-change")
    git(folder, "checkout", "--quiet", "main")
    (folder / UMA).write_text("int main;\n")
    commit(folder, "main-change")
    with pytest.raises(subprocess.CalledProcessError):
        git(folder, "merge", "side")
    text = (folder / UMA).read_text()
    assert "<<<<<<<" in text
    tree = opened(folder, workspace)
    snapshot = tree.snapshot(Change())
    assert snapshot.dirty
    assert (tree.checkout(snapshot) / UMA).read_text() == text


def drop(folder: Path, path: str) -> Path:
    """Take a committed file's content out of a clone; gives where it was."""
    name = git(folder, "rev-parse", f"HEAD:{path}")
    object_file = folder / ".git" / "objects" / name[:2] / name[2:]
    object_file.rename(folder / ".git" / name)
    return object_file


def test_objects_that_a_clone_lacks_are_left_out(folder: Path, workspace: Workspace) -> None:
    """Some mirrors drop large files; what the kernel needs of them the build will name."""
    drop(folder, CONFIGURE)
    tree = opened(folder, workspace)
    for _ in range(2):
        out = files(tree.checkout(tree.snapshot(Change(revision="first"))))
        assert DOMAINSET in out
        assert CONFIGURE not in out


def test_object_that_is_there_again_is_taken_again(folder: Path, workspace: Workspace) -> None:
    before = taken(folder, workspace, Change(revision="first"))
    place = drop(folder, CONFIGURE)
    (opened(folder, workspace).home / "lacking.json").unlink()
    assert taken(folder, workspace, Change(revision="first")).tree != before.tree
    (folder / ".git" / f"{place.parent.name}{place.name}").rename(place)
    assert taken(folder, workspace, Change(revision="first")) == before


def test_what_a_clone_lacks_and_its_files_do_not_have_is_no_edit(
    folder: Path, workspace: Workspace
) -> None:
    drop(folder, CONFIGURE)
    (folder / CONFIGURE).unlink()
    assert not taken(folder, workspace).dirty
    (folder / UMA).unlink()
    with pytest.raises(UsageError, match=r"has no sys/vm/uma_core\.c"):
        taken(folder, workspace)


def test_url_is_cloned_once(folder: Path, workspace: Workspace) -> None:
    first = opened(f"file://{folder}", workspace)
    head = (first.repository.git_dir / "HEAD").stat()
    again = opened(f"file://{folder}", workspace)
    assert (again.repository.git_dir / "HEAD").stat().st_ino == head.st_ino


def test_clone_that_was_killed_is_made_anew(folder: Path, workspace: Workspace) -> None:
    tree = opened(f"file://{folder}", workspace)
    shutil.rmtree(tree.repository.git_dir / "objects")
    (tree.home / "cloning").touch()
    assert taken(f"file://{folder}", workspace).release == "13.2-RELEASE"


def test_trees_have_homes_of_their_own(folder: Path, workspace: Workspace, tmp_path: Path) -> None:
    other = git_tree(tmp_path / "other")
    assert opened(folder, workspace).home != opened(other, workspace).home
    assert opened(folder, workspace).home == opened(f"{folder}/../tree", workspace).home


@pytest.mark.parametrize("name", ["a:b", 'a "quoted" one', "back\\slash", "wild*card"])
def test_path_may_hold_what_git_gives_a_meaning(
    name: str, workspace: Workspace, tmp_path: Path
) -> None:
    usual = taken(git_tree(tmp_path / "usual"), workspace)
    odd = git_tree(tmp_path / name)
    for change in (Change(), Change("first")):
        assert taken(odd, workspace, change).tree == usual.tree
    (odd / "sys/kern/kern_main.c").write_text("int other;\n")
    assert taken(odd, workspace).dirty


def test_look_at_a_tree_counts_as_its_use(folder: Path, workspace: Workspace) -> None:
    home = opened(folder, workspace).home
    taken(folder, workspace)
    for path in (home, *home.iterdir()):
        os.utime(path, (1, 1))
    taken(folder, workspace)
    (entry,) = cache_entries(workspace)
    assert entry.path == home
    assert entry.used > 1


def test_lock_is_the_trees(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    with locked(tree, workspace, pytest.fail) as fd:
        assert os.fstat(fd)
    assert (workspace.cache / "locks" / f"tree-{tree.home.name}.lock").exists()


def test_a_tree_is_read_while_another_builds_from_it(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    before = taken(folder, workspace)
    with locked(tree, workspace, pytest.fail), being_read(tree, workspace, pytest.fail):
        assert tree.snapshot(Change()) == before
        (entry,) = cache_entries(workspace)
        free = set()
        for guard in entry.guards[1:]:
            with claimed(guard) as is_free:
                free.add((guard.name.partition("-")[0], is_free))
        assert free == {("tree", False), ("read", False), ("onhost", True)}
