"""What a bisection remembers, and the logs that it shares with git."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tree import git, numbered_revisions

from harness.bisect.evidence import Kind, Mark, RevisionTest
from harness.bisect.gitlog import LogEntry, read_log, write_log
from harness.bisect.state import State, StateFile
from harness.errors import UsageError
from harness.host.workspace import Workspace

ASKED = {"new": "b" * 40, "fixed": False}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")


def test_a_state_comes_back_as_it_was(workspace: Workspace) -> None:
    file = StateFile(workspace, ASKED)
    one = RevisionTest("c" * 40, Kind.FAILED, ("a title",), "panic", 3.5, 12.25, "01-cccc")
    state = State(ASKED, "a-run").with_observation(one).with_kernel("c" * 40, "d1")
    state = replace(state, reads=frozenset({"sys/kern/b.c", "sys/kern/a.c"}))
    file.save(state)
    assert file.load() == state
    file.forget()
    assert file.load() == State(ASKED)


def test_another_question_has_another_state(workspace: Workspace) -> None:
    assert StateFile(workspace, ASKED).path != StateFile(workspace, {**ASKED, "fixed": True}).path


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_a_damaged_state_is_refused_with_a_remedy(workspace: Workspace, text: str) -> None:
    file = StateFile(workspace, ASKED)
    file.save(State(ASKED))
    file.path.write_text(text)
    with pytest.raises(UsageError, match="--restart"):
        file.load()


@pytest.mark.parametrize("fixed", [False, True])
def test_git_replays_our_log_and_comes_to_the_same_range(tmp_path: Path, fixed: bool) -> None:
    tree = tmp_path / "tree"
    names = numbered_revisions(tree, 8)
    new, old = (Mark.GOOD, Mark.BAD) if fixed else (Mark.BAD, Mark.GOOD)
    entries = [
        LogEntry(new, names[7]), LogEntry(old, names[0]), LogEntry(Mark.SKIP, names[3]),
        LogEntry(Mark.INFRA, names[2]), LogEntry(new, names[5]),
    ]  # fmt: skip
    path = tmp_path / "log"
    path.write_text(write_log(entries, {names[7]: "a\nsubject"}, fixed=fixed))
    git(tree, "bisect", "replay", str(path))
    refs = git(tree, "for-each-ref", "--format=%(refname)", "refs/bisect")
    newest = git(tree, "rev-parse", f"refs/bisect/{'fixed' if fixed else 'bad'}")
    assert newest == names[5]
    assert f"skip-{names[3]}" in refs
    assert names[2] not in refs


@pytest.mark.parametrize("fixed", [False, True])
def test_our_log_comes_back_as_it_was(fixed: bool) -> None:
    entries = [LogEntry(mark, f"{number:040x}") for number, mark in
               enumerate((Mark.BAD, Mark.GOOD, Mark.SKIP))]  # fmt: skip
    assert read_log(write_log(entries, {}, fixed=fixed), fixed=fixed) == entries


def test_what_git_itself_wrote_is_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    names = numbered_revisions(tree, 8)
    git(tree, "bisect", "start", "--term-new=slow", "--term-old=fast", names[7], names[0])
    git(tree, "bisect", "slow", names[5])
    git(tree, "bisect", "skip", names[3])
    log = subprocess.run(
        ["git", "-C", tree, "bisect", "log"], capture_output=True, text=True, check=True
    ).stdout
    entries = read_log(log, fixed=False)
    assert LogEntry(Mark.BAD, names[7]) in entries
    assert LogEntry(Mark.GOOD, names[0]) in entries
    assert entries[-2:] == [LogEntry(Mark.BAD, names[5]), LogEntry(Mark.SKIP, names[3])]


@pytest.mark.parametrize(
    "text",
    ["", "git bisect bad abc\n", "git bisect start\nrm -rf /\n", "git bisect start\ngit log\n",
     "git bisect start\ngit bisect maybe abc\n", "git bisect start 'unclosed\n"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="log"):
        read_log(text, fixed=False)


@given(st.text())
def test_no_text_makes_the_reader_fall(text: str) -> None:
    try:
        read_log(f"git bisect start\n{text}", fixed=False)
    except UsageError:
        return
