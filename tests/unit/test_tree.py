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
from harness.source.opentree import open_tree
from harness.source.revision import Snapshot
from harness.source.tree import SourceTree
from harness.source.treelocks import being_read, locked
from harness.subsystems.table import KNOWLEDGE

NOT_BUILT = "share/man/man9/zone.9"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return git_tree(tmp_path / "tree")


def opened(directory: Path | str, workspace: Workspace) -> SourceTree:
    return open_tree(str(directory), workspace, HostRunner(), knowledge=KNOWLEDGE)


def taken(directory: Path | str, workspace: Workspace, change: Change | None = None) -> Snapshot:
    return opened(directory, workspace).snapshot(change or Change())


def files(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in directory.rglob("*")
        if path.is_file()
    }


def user_state(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Everything of the user's, with its times; git notes in an object's that it is in use."""
    return {
        str(path): (0 if "objects" in path.parts else path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_clean_clone_is_its_commit(directory: Path, workspace: Workspace) -> None:
    snapshot = taken(directory, workspace)
    assert snapshot.commit == git(directory, "rev-parse", "HEAD")
    assert not snapshot.dirty
    assert (snapshot.release, snapshot.llvm) == ("13.2-RELEASE", 14)


def test_equal_content_is_equal_wherever_it_comes_from(
    directory: Path, workspace: Workspace, tmp_path: Path
) -> None:
    plain = taken(plain_tree(tmp_path / "plain"), workspace)
    clone, url = taken(directory, workspace), taken(f"file://{directory}", workspace)
    for name in ("tree", "kernel", "toolchain", "loader", "config", "make"):
        assert len({getattr(snapshot, name) for snapshot in (plain, clone, url)}) == 1, name
    assert plain.commit is None


@pytest.mark.parametrize("versioned", [True, False])
def test_uncommitted_changes_are_in_it(
    tmp_path: Path, workspace: Workspace, versioned: bool
) -> None:
    directory = (git_tree if versioned else plain_tree)(tmp_path / "tree")
    before = taken(directory, workspace)
    (directory / UMA).write_text("int changed;\n")
    (directory / "sys/vm/new.c").write_text("int new;\n")
    (directory / DOMAINSET).write_text("int other;\n")
    (directory / "sys/kern/kern_main.c").unlink()
    tree = opened(directory, workspace)
    after = tree.snapshot(Change())
    assert after.tree != before.tree
    assert after.dirty is versioned
    out = files(tree.checkout(after))
    assert out[UMA] == "int changed;\n"
    assert out["sys/vm/new.c"] == "int new;\n"
    assert "sys/kern/kern_main.c" not in out


def test_change_that_is_undone_is_no_change(directory: Path, workspace: Workspace) -> None:
    before = taken(directory, workspace)
    (directory / UMA).write_text("int changed;\n")
    assert taken(directory, workspace).dirty
    (directory / UMA).write_text(FILES[UMA])
    assert taken(directory, workspace) == before


def test_revision_is_taken_without_uncommitted_changes(
    directory: Path, workspace: Workspace
) -> None:
    first = taken(directory, workspace)
    (directory / UMA).write_text("int second;\n")
    commit(directory, "second")
    (directory / UMA).write_text("int third;\n")
    again = taken(directory, workspace, Change(revision="first"))
    assert (again.tree, again.dirty) == (first.tree, False)
    assert taken(directory, workspace, Change(revision="second")).tree != first.tree


def test_users_own_files_are_never_changed(directory: Path, workspace: Workspace) -> None:
    (directory / UMA).write_text("int changed;\n")
    (directory / "untracked.c").write_text("")
    before = user_state(directory)
    tree = opened(directory, workspace)
    for change in (Change(), Change(revision="first")):
        tree.checkout(tree.snapshot(change))
    assert user_state(directory) == before


def test_parts_hash_apart(directory: Path, workspace: Workspace) -> None:
    """So that a change of the kernel builds no toolchain, and one of a manual page nothing."""
    before = taken(directory, workspace)
    (directory / UMA).write_text("int changed;\n")
    kernel = taken(directory, workspace)
    assert kernel.kernel != before.kernel
    assert (kernel.toolchain, kernel.make, kernel.config) == (
        before.toolchain, before.make, before.config
    )  # fmt: skip
    (directory / NOT_BUILT).write_text("changed")
    assert taken(directory, workspace) == kernel


def test_checkout_holds_what_is_built_and_nothing_else(
    directory: Path, workspace: Workspace
) -> None:
    tree = opened(directory, workspace)
    out = files(tree.checkout(tree.snapshot(Change())))
    assert out == {name: text for name, text in FILES.items() if name != NOT_BUILT}


def test_checkout_touches_only_what_differs(directory: Path, workspace: Workspace) -> None:
    tree = opened(directory, workspace)
    out = tree.checkout(tree.snapshot(Change()))
    times = {name: (out / name).stat().st_mtime_ns for name in (UMA, DOMAINSET)}
    (directory / UMA).write_text("int changed;\n")
    tree.checkout(tree.snapshot(Change()))
    assert (out / DOMAINSET).stat().st_mtime_ns == times[DOMAINSET]
    assert (out / UMA).stat().st_mtime_ns != times[UMA]


def test_checkout_mends_what_a_killed_one_left(directory: Path, workspace: Workspace) -> None:
    tree = opened(directory, workspace)
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
    ("name", "text", "versioned"),
    [
        pytest.param(
            name, text, versioned,
            marks=[] if number % 3 == kind and number % 2 == versioned else pytest.mark.long,
        )
        for number, name in enumerate(OURS)
        for kind, text in enumerate(["", "DIRC", "{}"])
        for versioned in (True, False)
    ],
)  # fmt: skip
def test_damaged_file_of_ours_is_made_anew(
    tmp_path: Path, workspace: Workspace, name: str, text: str, versioned: bool
) -> None:
    directory = (git_tree if versioned else plain_tree)(tmp_path / "tree")
    (directory / "sys/vm/new.c").write_text("int new;\n")
    tree = opened(directory, workspace)
    before = tree.snapshot(Change())
    tree.checkout(before)
    (tree.home / name).write_text(text)
    after = tree.snapshot(Change())
    assert after == before
    assert files(tree.checkout(after))[UMA] == FILES[UMA]


def test_patch_is_applied_on_top_and_named_by_its_content(
    directory: Path, workspace: Workspace, tmp_path: Path
) -> None:
    patch = tmp_path / "a.patch"
    (directory / UMA).write_text(FILES[UMA] + "int added;\n")
    patch.write_text(git(directory, "diff") + "\n")
    git(directory, "checkout", "--", UMA)
    tree = opened(directory, workspace)
    snapshot = tree.snapshot(Change(patch=patch))
    assert snapshot.patch is not None
    assert len(snapshot.patch) == 12
    assert (tree.checkout(snapshot) / UMA).read_text().endswith("int added;\n")


def test_same_patch_on_an_edited_tree_may_no_longer_apply(
    directory: Path, workspace: Workspace, tmp_path: Path
) -> None:
    patch = tmp_path / "a.patch"
    (directory / UMA).write_text("int other;\n")
    patch.write_text(git(directory, "diff") + "\n")
    with pytest.raises(UsageError, match="does not apply") as caught:
        taken(directory, workspace, Change(patch=patch))
    assert UMA in caught.value.detail


PATCHES = {
    "edits": (UMA, "int edited;\n"),
    "makes": ("sys/vm/new.c", "int new;\n"),
    "makes-where-there-is-no-directory": ("sys/new/new.c", "int new;\n"),
    "removes": ("contrib/bmake/mk/sys.mk", None),
    "adds-outside": (NOT_BUILT, "changed\n"),
}


@pytest.mark.parametrize(
    ("kind", "edited"),
    [
        pytest.param(kind, edited, marks=[pytest.mark.long] * (kind != "everything"))
        for kind in (*PATCHES, "renames", "everything")
        for edited in (False, True)
    ],
)
def test_patch_makes_of_a_tree_what_git_makes_of_its_files(
    directory: Path, workspace: Workspace, tmp_path: Path, kind: str, edited: bool
) -> None:
    other = "sys/kern/kern_main.c"
    if edited:
        (directory / other).write_text("int edited_before;\n")
    for name in PATCHES if kind == "everything" else [kind] if kind in PATCHES else []:
        path, text = PATCHES[name]
        if text is None:
            (directory / path).unlink()
        else:
            (directory / path).parent.mkdir(exist_ok=True)
            (directory / path).write_text(text)
    if kind in ("renames", "everything"):
        (directory / CONFIGURE).rename(directory / "contrib/bmake/renamed")
    git(directory, "add", "--all")
    diff = ("diff", "--cached", "-M", "HEAD", "--", ".", f":!{other}")
    (tmp_path / "a.patch").write_text(git(directory, *diff) + "\n")
    after = taken(directory, workspace)
    git(directory, "reset", "--quiet", "--hard")
    if edited:
        (directory / other).write_text("int edited_before;\n")
    patched = taken(directory, workspace, Change(patch=tmp_path / "a.patch"))
    assert patched.tree == after.tree
    assert patched.dirty is edited
    if not edited:
        on_top = Change(revision="first", patch=tmp_path / "a.patch")
        assert taken(directory, workspace, on_top).tree == after.tree


def test_patch_goes_on_top_of_edits_in_the_same_file(
    directory: Path, workspace: Workspace, tmp_path: Path
) -> None:
    edited = "int edited;\n" + FILES[UMA]
    (directory / UMA).write_text(edited)
    git(directory, "add", UMA)
    (directory / UMA).write_text(edited + "int added;\n")
    (tmp_path / "a.patch").write_text(git(directory, "diff") + "\n")
    (directory / UMA).write_text(edited)
    tree = opened(directory, workspace)
    out = tree.checkout(tree.snapshot(Change(patch=tmp_path / "a.patch")))
    assert (out / UMA).read_text() == edited + "int added;\n"


def test_files_of_which_only_the_time_differs_are_no_change(
    directory: Path, workspace: Workspace
) -> None:
    before = taken(directory, workspace)
    for path in (UMA, DOMAINSET):
        os.utime(directory / path, (1, 1))
    assert taken(directory, workspace) == before


def test_mode_and_kind_of_a_file_are_part_of_it(directory: Path, workspace: Workspace) -> None:
    tree = opened(directory, workspace)
    (directory / UMA).chmod(0o755)
    (directory / DOMAINSET).unlink()
    (directory / DOMAINSET).symlink_to("uma_core.c")
    (directory / "sys/kern/kern_main.c").unlink()
    (directory / "sys/kern/kern_main.c").mkdir()
    (directory / "sys/kern/kern_main.c/inner.c").write_text("int inner;\n")
    snapshot = tree.snapshot(Change())
    out = tree.checkout(snapshot)
    assert os.access(out / UMA, os.X_OK)
    assert os.readlink(out / DOMAINSET) == "uma_core.c"
    assert (out / "sys/kern/kern_main.c/inner.c").read_text() == "int inner;\n"
    assert snapshot.dirty


def test_staged_and_merely_announced_files_are_in_it(directory: Path, workspace: Workspace) -> None:
    tree = opened(directory, workspace)
    for name, words in (("staged.c", ["add"]), ("announced.c", ["add", "--intent-to-add"])):
        (directory / "sys/vm" / name).write_text("int new;\n")
        git(directory, *words, f"sys/vm/{name}")
    out = tree.checkout(tree.snapshot(Change()))
    assert (out / "sys/vm/staged.c").exists()
    assert (out / "sys/vm/announced.c").exists()


def test_merge_that_is_not_done_is_taken_as_its_files_are(
    directory: Path, workspace: Workspace
) -> None:
    git(directory, "checkout", "--quiet", "-b", "side")
    (directory / UMA).write_text("int side;\n")
    commit(directory, "side-change")
    git(directory, "checkout", "--quiet", "main")
    (directory / UMA).write_text("int main;\n")
    commit(directory, "main-change")
    with pytest.raises(subprocess.CalledProcessError):
        git(directory, "merge", "side")
    text = (directory / UMA).read_text()
    assert "<<<<<<<" in text
    tree = opened(directory, workspace)
    snapshot = tree.snapshot(Change())
    assert snapshot.dirty
    assert (tree.checkout(snapshot) / UMA).read_text() == text


def drop(directory: Path, path: str) -> Path:
    """Take a committed file's content out of a clone; gives where it was."""
    name = git(directory, "rev-parse", f"HEAD:{path}")
    object_file = directory / ".git" / "objects" / name[:2] / name[2:]
    object_file.rename(directory / ".git" / name)
    return object_file


def test_objects_that_a_clone_lacks_are_left_out(directory: Path, workspace: Workspace) -> None:
    """Some mirrors drop large files; what the kernel needs of them the build will name."""
    drop(directory, CONFIGURE)
    tree = opened(directory, workspace)
    for _ in range(2):
        out = files(tree.checkout(tree.snapshot(Change(revision="first"))))
        assert DOMAINSET in out
        assert CONFIGURE not in out


def test_object_that_is_there_again_is_taken_again(directory: Path, workspace: Workspace) -> None:
    before = taken(directory, workspace, Change(revision="first"))
    place = drop(directory, CONFIGURE)
    (opened(directory, workspace).home / "lacking.json").unlink()
    assert taken(directory, workspace, Change(revision="first")).tree != before.tree
    (directory / ".git" / f"{place.parent.name}{place.name}").rename(place)
    assert taken(directory, workspace, Change(revision="first")) == before


def test_what_a_clone_lacks_and_its_files_do_not_have_is_no_edit(
    directory: Path, workspace: Workspace
) -> None:
    drop(directory, CONFIGURE)
    (directory / CONFIGURE).unlink()
    assert not taken(directory, workspace).dirty
    (directory / UMA).unlink()
    with pytest.raises(UsageError, match=r"has no sys/vm/uma_core\.c"):
        taken(directory, workspace)


def test_url_is_cloned_once(directory: Path, workspace: Workspace) -> None:
    first = opened(f"file://{directory}", workspace)
    head = (first.repository.git_dir / "HEAD").stat()
    again = opened(f"file://{directory}", workspace)
    assert (again.repository.git_dir / "HEAD").stat().st_ino == head.st_ino


def test_clone_that_was_killed_is_made_anew(directory: Path, workspace: Workspace) -> None:
    tree = opened(f"file://{directory}", workspace)
    shutil.rmtree(tree.repository.git_dir / "objects")
    (tree.home / "cloning").touch()
    assert taken(f"file://{directory}", workspace).release == "13.2-RELEASE"


def test_trees_have_homes_of_their_own(
    directory: Path, workspace: Workspace, tmp_path: Path
) -> None:
    other = git_tree(tmp_path / "other")
    assert opened(directory, workspace).home != opened(other, workspace).home
    assert opened(directory, workspace).home == opened(f"{directory}/../tree", workspace).home


def test_path_may_hold_what_git_gives_a_meaning(workspace: Workspace, tmp_path: Path) -> None:
    usual = taken(git_tree(tmp_path / "usual"), workspace)
    odd = git_tree(tmp_path / 'a:b "quoted" back\\slash wild*card')
    for change in (Change(), Change("first")):
        assert taken(odd, workspace, change).tree == usual.tree
    (odd / "sys/kern/kern_main.c").write_text("int other;\n")
    assert taken(odd, workspace).dirty


def test_look_at_a_tree_counts_as_its_use(directory: Path, workspace: Workspace) -> None:
    home = opened(directory, workspace).home
    taken(directory, workspace)
    for path in (home, *home.iterdir()):
        os.utime(path, (1, 1))
    taken(directory, workspace)
    (entry,) = cache_entries(workspace)
    assert entry.path == home
    assert entry.used > 1


def test_lock_is_the_trees(directory: Path, workspace: Workspace) -> None:
    tree = opened(directory, workspace)
    with locked(tree, workspace, pytest.fail) as fd:
        assert os.fstat(fd)
    assert (workspace.cache / "locks" / f"tree-{tree.home.name}.lock").exists()


def test_a_tree_is_read_while_another_builds_from_it(directory: Path, workspace: Workspace) -> None:
    tree = opened(directory, workspace)
    before = taken(directory, workspace)
    with locked(tree, workspace, pytest.fail), being_read(tree, workspace, pytest.fail):
        assert tree.snapshot(Change()) == before
        (entry,) = cache_entries(workspace)
        free = set()
        for guard in entry.guards[1:]:
            with claimed(guard) as is_free:
                free.add((guard.name.partition("-")[0], is_free))
        unlocked = {("world", True), ("onhost", True), ("variations", True)}
        assert free == {("tree", False), ("read", False)} | unlocked
