"""What is derived from a tree is kept until something that it depends on changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from small_tree import UMA, commit, git, git_tree

from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.change import Change
from harness.source.codefacts import Assumption, CodeReaders, Facts, Reading
from harness.source.derived import Derived
from harness.source.opentree import open_tree
from harness.source.revision import Snapshot
from harness.source.tree import SourceTree
from harness.subsystems.table import KNOWLEDGE

HASH = "a" * 40


class Derivation:
    """Counts how often a value is derived."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        return HASH


@pytest.fixture
def derivation() -> Derivation:
    return Derivation()


def test_a_value_is_derived_once_for_equal_inputs(tmp_path: Path, derivation: Derivation) -> None:
    for _ in range(2):
        assert Derived(tmp_path).kept("part", ("t", "x"), derivation) == HASH
    assert derivation.times == 1
    for kind, inputs in (("part", ("t", "y")), ("hashes", ("t", "x")), ("part", ("tx",))):
        Derived(tmp_path).kept(kind, inputs, derivation)
    assert derivation.times == 4


def test_without_objects_nothing_is_kept(tmp_path: Path, derivation: Derivation) -> None:
    for _ in range(2):
        Derived(tmp_path / "none").kept("part", ("t",), derivation)
    assert derivation.times == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("value", [7, "", "a" * 39, "../../etc", f"{HASH}\n", None, [HASH]])
def test_what_is_no_hash_is_derived_again(
    tmp_path: Path, derivation: Derivation, value: object
) -> None:
    derived = Derived(tmp_path)
    derived.kept("part", ("t",), derivation)
    (file,) = tmp_path.iterdir()
    (key,) = json.loads(file.read_text())
    file.write_text(json.dumps({key: value}))
    assert derived.kept("part", ("t",), derivation) == HASH
    assert derivation.times == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "null"])
def test_a_damaged_file_is_written_again(tmp_path: Path, derivation: Derivation, text: str) -> None:
    derived = Derived(tmp_path)
    derived.kept("part", ("t",), derivation)
    (file,) = tmp_path.iterdir()
    file.write_bytes(text.encode("latin-1"))
    for _ in range(2):
        derived.kept("part", ("t",), derivation)
    assert derivation.times == 2


def test_the_newest_hundred_values_are_kept(tmp_path: Path, derivation: Derivation) -> None:
    derived = Derived(tmp_path)
    for number in range(102):
        derived.kept("part", (str(number),), derivation)
    assert derivation.times == 102
    derived.kept("part", ("101",), derivation)
    assert derivation.times == 102
    derived.kept("part", ("0",), derivation)
    assert derivation.times == 103


# --- of a tree --------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "runtime")
    return open_tree(str(git_tree(tmp_path / "tree")), workspace, HostRunner())


def taken(tree: SourceTree) -> Snapshot:
    return tree.snapshot(Change())


def test_a_snapshot_is_the_same_with_what_was_kept_and_without(tree: SourceTree) -> None:
    first = taken(tree)
    assert taken(tree) == first
    shutil.rmtree(tree.repository.objects)
    tree.repository.refresh()
    assert taken(tree) == first


def test_whatever_changes_in_the_files_changes_the_snapshot(tree: SourceTree) -> None:
    """In the work tree, in the index alone, and in a commit."""
    assert tree.files is not None
    file, seen = tree.files / UMA, [taken(tree)]
    original = file.read_text()
    file.write_text("int changed;\n")
    seen.append(taken(tree))
    git(tree.files, "add", UMA)
    file.write_text(original)
    assert taken(tree).tree == seen[0].tree
    file.write_text("int committed;\n")
    git(tree.files, "commit", "--all", "--quiet", "--message", "more")
    seen.append(taken(tree))
    assert len({each.tree for each in seen}) == len({each.kernel for each in seen}) == 3
    assert [each.dirty for each in seen] == [False, True, False]


def test_objects_that_are_gone_are_made_again(tree: SourceTree) -> None:
    snapshot = taken(tree)
    tree.heal()
    assert taken(tree) == snapshot
    assert (tree.checkout(snapshot) / UMA).is_file()


def test_facts_are_read_again_when_the_code_of_their_readers_changes(tree: SourceTree) -> None:
    read: list[str] = []

    class Reader:
        """Notes when it reads."""

        name = "made"
        paths = (UMA,)

        def read(self, texts: Sequence[bytes]) -> Reading:
            read.append(texts[0].decode())
            return Reading({"long-name": b"uma" in texts[0]}, ())

        def assume(self, *_: object) -> Assumption:
            return {}, ""

    def facts(version: str) -> Mapping[str, bool]:
        knowledge = CodeReaders((Reader(),), version=lambda: version)
        return replace(tree, knowledge=knowledge).snapshot(Change()).facts["made"].values

    for version, count in (("1", 1), ("1", 1), ("2", 2), ("1", 2), ("", 3), ("", 4)):
        assert facts(version) == {"long-name": True}
        assert len(read) == count
    assert tree.files is not None
    (tree.files / UMA).write_text("int other;\n")
    assert facts("1") == {"long-name": False}


def test_assumed_facts_are_read_again_when_readers_or_the_revision_change(
    tree: SourceTree,
) -> None:
    assumed: list[bytes] = []

    class Reader:
        """Knows no code, and notes when it assumes."""

        name = "made"
        paths = (UMA,)

        def read(self, _: Sequence[bytes]) -> Reading:
            return Reading(None, ("f",))

        def assume(self, texts: Sequence[bytes], _: int) -> Assumption:
            assumed.append(texts[0])
            return {"is-new": len(assumed) > 3}, f'it says "{len(assumed)}"'

    def facts(version: str) -> Facts:
        knowledge = CodeReaders((Reader(),), version=lambda: version)
        return replace(tree, knowledge=knowledge).snapshot(Change()).facts["made"]

    assert tree.files is not None
    for version, number in (("1", 1), ("1", 1), ("2", 2), ("1", 1), ("", 3), ("2", 2)):
        assert facts(version).assumed.endswith(f'it says "{number}"')
    (tree.files / UMA).write_text("int changed;\n")
    assert facts("1").assumed.endswith('it says "1"')
    commit(tree.files, "changed")
    assert facts("1").values == {"is-new": True}
    assert assumed[-1] == b"int changed;\n"


def test_the_readers_code_has_a_version() -> None:
    assert len(KNOWLEDGE.version()) == 64
