"""What a world is built from: a tree, its missing files, and the user's overlay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_tree import NEWVERS, commit, copied, git, git_tree, plain_tree

from harness.errors import UsageError
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.change import Change
from harness.source.opentree import open_tree
from harness.source.tree import SourceTree
from harness.source.worldtree import WorldSnapshot, world_snapshot

LARGE = "contrib/sqlite3/sqlite3.c"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return copied(tmp_path / "tree", make_large)


def make_large(directory: Path) -> None:
    git_tree(directory)
    (directory / LARGE).parent.mkdir(parents=True)
    (directory / LARGE).write_text("int sqlite3;\n")
    commit(directory, "large")


def opened(directory: Path, tmp_path: Path) -> SourceTree:
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "runtime")
    return open_tree(str(directory), workspace, HostRunner())


def taken(directory: Path, tmp_path: Path, overlay: Path | None = None) -> WorldSnapshot:
    return world_snapshot(opened(directory, tmp_path), Change(), overlay)


def lose(directory: Path, path: str) -> None:
    """Remove a file's object from a clone, and the file."""
    name = git(directory, "rev-parse", f"HEAD:{path}")
    (directory / ".git/objects" / name[:2] / name[2:]).unlink()
    (directory / path).unlink()


def overlay_of(directory: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def checked_out(directory: Path, tmp_path: Path, overlay: Path | None = None) -> Path:
    tree = opened(directory, tmp_path)
    snapshot = world_snapshot(tree, Change(), overlay)
    return tree.checkout_into(snapshot.tree, tree.home / "world" / "src")


def test_a_world_is_built_from_files_that_no_kernel_needs(directory: Path, tmp_path: Path) -> None:
    source = checked_out(directory, tmp_path)
    assert (source / LARGE).read_text() == "int sqlite3;\n"
    assert (source / "share/man/man9/zone.9").is_file()


def test_uncommitted_changes_are_built(directory: Path, tmp_path: Path) -> None:
    before = taken(directory, tmp_path)
    (directory / "sys/kern/kern_main.c").write_text("int changed;\n")
    after = taken(directory, tmp_path)
    assert (before.dirty, after.dirty) == (False, True)
    assert before.tree != after.tree
    assert (checked_out(directory, tmp_path) / "sys/kern/kern_main.c").read_text() == (
        "int changed;\n"
    )


def test_files_that_a_clone_lacks_are_named_before_a_build(directory: Path, tmp_path: Path) -> None:
    lose(directory, LARGE)
    with pytest.raises(UsageError, match="lacks files that a world is built from") as refused:
        taken(directory, tmp_path)
    assert refused.value.detail == LARGE
    assert "--overlay DIR" in refused.value.remedy


def test_file_that_git_was_told_to_ignore_is_named_before_a_build(
    directory: Path, tmp_path: Path
) -> None:
    server, config = "crypto/openssh/sshd.c", "crypto/openssh/config.h"
    overlay_of(directory, **{server: "int sshd;\n"})
    commit(directory, "OpenSSH")
    with pytest.raises(UsageError, match="lacks files that a world is built from") as refused:
        taken(directory, tmp_path)
    assert refused.value.detail == config
    overlay = overlay_of(tmp_path / "overlay", **{config: "#define HAVE_X 1\n"})
    assert taken(directory, tmp_path, overlay).overlaid == (config,)
    overlay_of(directory, **{config: "#define HAVE_X 1\n"})
    commit(directory, "configuration")
    assert taken(directory, tmp_path).overlaid == ()


def test_an_overlay_brings_what_a_clone_lacks(directory: Path, tmp_path: Path) -> None:
    lose(directory, LARGE)
    overlay = overlay_of(tmp_path / "overlay", **{LARGE: "int other;\n"})
    snapshot = taken(directory, tmp_path, overlay)
    assert snapshot.overlaid == (LARGE,)
    assert "+overlay" in snapshot.label
    assert (checked_out(directory, tmp_path, overlay) / LARGE).read_text() == "int other;\n"


def test_another_overlay_is_another_world(directory: Path, tmp_path: Path) -> None:
    overlays = (
        overlay_of(tmp_path / name, **{"share/mk/local.mk": name}) for name in ("one", "two")
    )
    assert len({taken(directory, tmp_path, overlay).tree for overlay in overlays}) == 2


def test_an_overlay_keeps_what_is_executable(directory: Path, tmp_path: Path) -> None:
    overlay = overlay_of(tmp_path / "overlay", **{"tools/run.sh": "#!/bin/sh\n"})
    (overlay / "tools/run.sh").chmod(0o755)
    assert os.access(checked_out(directory, tmp_path, overlay) / "tools/run.sh", os.X_OK)


def test_an_overlay_does_not_change_the_users_tree(directory: Path, tmp_path: Path) -> None:
    overlay = overlay_of(tmp_path / "overlay", **{NEWVERS: "other\n"})
    before = git(directory, "status", "--porcelain")
    taken(directory, tmp_path, overlay)
    assert git(directory, "status", "--porcelain") == before


def test_files_that_no_world_reads_may_be_missing(directory: Path, tmp_path: Path) -> None:
    unread = "contrib/ntp/CommitLog"
    (directory / unread).parent.mkdir(parents=True)
    (directory / unread).write_text("a long history\n")
    commit(directory, "ntp")
    lose(directory, unread)
    assert not (checked_out(directory, tmp_path) / unread).exists()


@pytest.mark.parametrize("kind", ["link", "fifo", "git"])
def test_an_overlay_has_regular_files_only(directory: Path, tmp_path: Path, kind: str) -> None:
    overlay = overlay_of(tmp_path / "overlay", **{"share/file": "text\n"})
    if kind == "link":
        (overlay / "share/passwd").symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(overlay / "share/fifo")
    else:
        (overlay / ".git").mkdir()
    with pytest.raises(UsageError, match="cannot be laid over a tree"):
        taken(directory, tmp_path, overlay)


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_an_overlay_is_a_directory_with_files(directory: Path, tmp_path: Path, kind: str) -> None:
    overlay = tmp_path / "overlay"
    if kind == "file":
        overlay.write_text("")
    elif kind == "empty":
        overlay.mkdir()
    with pytest.raises(UsageError, match=r"the overlay .* (is not a directory|has no files)"):
        taken(directory, tmp_path, overlay)


def test_a_plain_directory_has_no_world(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a git clone"):
        taken(plain_tree(tmp_path / "plain"), tmp_path)


def test_tree_has_the_files_of_its_revision_and_of_the_user(
    directory: Path, tmp_path: Path
) -> None:
    (directory / "sys/new").write_text("")
    lose(directory, LARGE)
    tree = opened(directory, tmp_path)
    assert tree.has_file(Change("HEAD"), LARGE)
    assert not tree.has_file(Change("HEAD"), "sys/new")
    assert not tree.has_file(Change("HEAD"), "none")
    assert not tree.has_file(Change("HEAD"), "../x")
    assert tree.has_file(Change(), "sys/new")
    assert not tree.has_file(Change(), LARGE)
