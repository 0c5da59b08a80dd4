"""git objects that a host which lost power has left cut, empty, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from small_tree import DOMAINSET, FILES, UMA, commit, git, git_tree, plain_tree

from harness.errors import InfraError
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.change import Change
from harness.source.git import DamagedObjectsError
from harness.source.opentree import open_tree
from harness.source.tree import SourceTree
from harness.source.treelocks import healed


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


Damage = Callable[[Path], None]

EACH_DAMAGE = pytest.mark.parametrize("damage", [truncated, emptied, Path.unlink])


def checked_out(tree: SourceTree) -> str:
    return (tree.checkout(tree.snapshot(Change())) / UMA).read_text()


def damage_all(directory: Path, damage: Damage) -> int:
    """Damage every file; gives their number."""
    found = [path for path in directory.rglob("*") if path.is_file()]
    for path in found:
        path.chmod(0o644)
        damage(path)
    return len(found)


@EACH_DAMAGE
@pytest.mark.parametrize("versioned", [True, False])
def test_damaged_objects_of_ours_are_made_again(
    tmp_path: Path, workspace: Workspace, versioned: bool, damage: Damage
) -> None:
    directory = (git_tree if versioned else plain_tree)(tmp_path / "tree")
    (directory / UMA).write_text("int changed;\n")
    tree = open_tree(str(directory), workspace, HostRunner())
    assert checked_out(tree) == "int changed;\n"
    # What is checked out is not taken from there again.
    (tree.checkout_directory / UMA).unlink()
    assert damage_all(tree.repository.objects, damage) > 3
    told: list[str] = []
    assert healed(tree, workspace, told.append, partial(checked_out, tree)) == "int changed;\n"
    assert len(told) <= 1
    if not versioned:
        assert len(told) == 1
    assert checked_out(tree) == "int changed;\n"


@pytest.mark.parametrize(
    ("suffix", "damage"), [("pack", truncated), ("pack", zeroed), ("idx", truncated)]
)
def test_a_damaged_clone_is_cloned_again(
    tmp_path: Path, workspace: Workspace, suffix: str, damage: Damage
) -> None:
    directory = git_tree(tmp_path / "tree")
    for number in range(3):
        (directory / DOMAINSET).write_text(f"int number{number};\n" * 100)
        commit(directory, f"r{number}")
    git(directory, "repack", "-adq")
    tree = open_tree(f"file://{directory}", workspace, HostRunner())
    (pack,) = (tree.repository.place / "objects/pack").glob(f"*.{suffix}")
    pack.chmod(0o644)
    damage(pack)
    told: list[str] = []
    assert healed(tree, workspace, told.append, partial(checked_out, tree)) == FILES[UMA]
    assert len(told) <= 1  # git itself fetches what it takes for missing


def test_a_damaged_object_of_the_user_s_is_named_and_left(
    tmp_path: Path, workspace: Workspace
) -> None:
    directory = git_tree(tmp_path / "tree")
    tree = open_tree(str(directory), workspace, HostRunner())
    name = git(directory, "rev-parse", f"HEAD:{UMA}")
    path = directory / ".git" / "objects" / name[:2] / name[2:]
    path.chmod(0o644)
    truncated(path)
    half = path.read_bytes()
    with pytest.raises(DamagedObjectsError, match=name) as caught:
        healed(tree, workspace, print, partial(checked_out, tree))
    assert isinstance(caught.value, InfraError)
    assert "fsck" in caught.value.remedy
    assert path.read_bytes() == half


def test_healing_keeps_what_is_checked_out(tmp_path: Path, workspace: Workspace) -> None:
    """So that objects of the build, which go by time stamps, last."""
    tree = open_tree(str(git_tree(tmp_path / "tree")), workspace, HostRunner())
    checked_out(tree)
    before = (tree.checkout_directory / DOMAINSET).stat().st_mtime_ns
    tree.heal()
    checked_out(tree)
    assert (tree.checkout_directory / DOMAINSET).stat().st_mtime_ns == before
