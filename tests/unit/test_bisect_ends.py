"""The ends of a bisection: named or of a log, in a real git history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_tree import commit, copied, git, git_tree

from harness.bisect.evidence import Mark
from harness.bisect.gitlog import LogEntry
from harness.errors import UsageError
from harness.host.process import HostRunner
from harness.runs.bisectrequest import BisectRequest
from harness.runs.ends import found_ends
from harness.source.git import Repository
from harness.source.gitdir import find_repository
from harness.source.request import KernelRequest
from harness.source.tree import SourceTree

ASKED = BisectRequest(KernelRequest("a tree"), good="first", bad="main")


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    """A history: first, second, third (main); side is a branch of first."""
    files = copied(tmp_path / "tree", make_branches)
    repository = Repository.opened(tmp_path / "git", find_repository(files), HostRunner())
    return SourceTree(str(files), files, repository, tmp_path, versioned=True)


def make_branches(files: Path) -> None:
    git_tree(files)
    for tag in ("second", "third"):
        changed(files, tag)
    git(files, "checkout", "-q", "-b", "aside", "first")
    changed(files, "side")
    git(files, "checkout", "-q", "main")


def changed(files: Path, tag: str) -> None:
    (files / "sys" / "kern" / "kern_main.c").write_text(f"/* {tag} */\n")
    commit(files, tag)


def hashes(tree: SourceTree, *names: str) -> list[str]:
    return [tree.repository.commit(name) for name in names]


def test_the_failing_end_has_all_the_changes(tree: SourceTree) -> None:
    ends = found_ends(ASKED, tree, [])
    assert [ends.new, *ends.old] == hashes(tree, "main", "first")


def test_with_fixed_the_passing_end_has_them(tree: SourceTree) -> None:
    ends = found_ends(replace(ASKED, good="main", bad="first", fixed=True), tree, [])
    assert [ends.new, *ends.old] == hashes(tree, "main", "first")


def test_of_two_branches_the_merge_base_is_an_old_end_too(tree: SourceTree) -> None:
    ends = found_ends(replace(ASKED, good="side"), tree, [])
    assert [ends.new, *ends.old] == hashes(tree, "main", "side", "first")


def test_a_log_gives_the_ends_that_are_not_named(tree: SourceTree) -> None:
    entries = [LogEntry(Mark.BAD, "third"), LogEntry(Mark.GOOD, "second"),
               LogEntry(Mark.BAD, "second")]  # fmt: skip
    ends = found_ends(replace(ASKED, good=None, bad=None), tree, entries)
    assert [ends.new, *ends.old] == hashes(tree, "third", "second")


@pytest.mark.parametrize(
    ("asked", "message", "remedy"),
    [
        (replace(ASKED, good=None), "--good is missing", "--good and --bad"),
        (replace(ASKED, bad=None), "--bad is missing", "--good and --bad"),
        (replace(ASKED, good="main"), "are the same revision", "two revisions"),
        (replace(ASKED, good="main", bad="first"), "the bad revision", "add --fixed"),
        (replace(ASKED, fixed=True), "the good revision", "leave --fixed out"),
        (replace(ASKED, good="nowhere"), "--good: ", ""),
    ],
)
def test_ends_between_which_there_is_nothing_are_refused(
    tree: SourceTree, asked: BisectRequest, message: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as refused:
        found_ends(asked, tree, [])
    assert message in refused.value.message
    assert remedy in refused.value.remedy


def test_revisions_of_a_file_are_skipped_but_not_the_ends(tree: SourceTree, tmp_path: Path) -> None:
    file = tmp_path / "skip"
    file.write_text("# broken\nsecond\n")
    ends = found_ends(replace(ASKED, skip=file), tree, [])
    assert [*ends.skipped] == hashes(tree, "second")
    file.write_text("second\nfirst\n")
    with pytest.raises(UsageError, match=r"line 2: first is an end of the bisection"):
        found_ends(replace(ASKED, skip=file), tree, [])
    with pytest.raises(UsageError, match=r"cannot read it: No such file"):
        found_ends(replace(ASKED, skip=tmp_path / "none"), tree, [])
