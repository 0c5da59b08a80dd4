"""Trees as the user has them: what a snapshot holds, and what a checkout touches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from small_tree import DOMAINSET, FILES, UMA, commit, git, git_tree, plain_tree

from harness.errors import UsageError
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.revision import Change, Snapshot
from harness.source.tree import SourceTree, locked, open_tree

NOT_BUILT = "share/man/man9/zone.9"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "runtime")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return git_tree(tmp_path / "tree")


def opened(folder: Path | str, workspace: Workspace) -> SourceTree:
    return open_tree(str(folder), workspace, HostRunner())


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
    for name in ("snapshot", "checkout", "tree"):
        (tree.home / f"{name}.index.lock").write_text("")
    tree.checkout(tree.snapshot(Change()))
    assert (out / UMA).read_text() == FILES[UMA]
    assert (out / DOMAINSET).read_text() == FILES[DOMAINSET]


@pytest.mark.parametrize("index", ["snapshot.index", "checkout.index", "tree.index", "head.index"])
@pytest.mark.parametrize("text", ["", "DIRC"])
def test_damaged_index_is_made_anew(
    folder: Path, workspace: Workspace, index: str, text: str
) -> None:
    tree = opened(folder, workspace)
    before = tree.snapshot(Change())
    tree.checkout(before)
    (tree.home / index).write_text(text)
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


def test_objects_that_a_clone_lacks_are_left_out(folder: Path, workspace: Workspace) -> None:
    """Some mirrors drop large files; what the kernel needs of them the build will name."""
    name = git(folder, "rev-parse", f"HEAD:{DOMAINSET}")
    other = git(folder, "rev-parse", "HEAD:contrib/bmake/configure")
    (folder / ".git" / "objects" / other[:2] / other[2:]).unlink()
    tree = opened(folder, workspace)
    out = files(tree.checkout(tree.snapshot(Change(revision="first"))))
    assert DOMAINSET in out
    assert "contrib/bmake/configure" not in out
    assert name


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


def test_lock_is_the_trees(folder: Path, workspace: Workspace) -> None:
    tree = opened(folder, workspace)
    with locked(tree, workspace, pytest.fail) as fd:
        assert os.fstat(fd)
    assert (workspace.cache / "locks" / f"tree-{tree.home.name}.lock").exists()
