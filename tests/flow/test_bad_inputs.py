"""Bad inputs by the hundred: each is refused in words, with the right code, and leaves nothing.

The commands run in this process; what a signal or a broken host does to real ones is tested in
``test_random_signals.py`` and ``tests/host``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import bad_inputs
import pytest
from bad_inputs import Case
from command import Home, Said
from inprocess import call
from small_tree import commit, git_tree, plain_tree

CASES = bad_inputs.all_cases()

MINIMUM = 300


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, shared_home: Home) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("bad")
    git = git_tree(directory / "git")
    commit(git, "second")
    built = call(shared_home, "build", "--source", "embedded")
    return {
        "git": str(git),
        "tree": str(plain_tree(directory / "tree")),
        "kernel": built.stdout.splitlines()[-1],
    }


@pytest.fixture
def clean_home(shared_home: Home) -> Iterator[Home]:
    """The shared home, without what a case puts into it."""
    yield shared_home
    shutil.rmtree(shared_home.directory / "config", ignore_errors=True)
    shutil.rmtree(shared_home.runs / "a-run", ignore_errors=True)


def test_there_are_enough_and_each_has_its_name() -> None:
    assert len(CASES) >= MINIMUM
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_is_refused(
    clean_home: Home, places: dict[str, str], tmp_path: Path, case: Case
) -> None:
    words = placed(case, clean_home, places, tmp_path)
    runs = set(clean_home.runs.glob("*"))
    said = call(clean_home, *words, stdin=case.stdin)
    assert said.code == case.code, said.stderr[-2000:]
    assert_told(said, case, as_json="--json" in words)
    assert set(clean_home.runs.glob("*")) == runs
    assert clean_home.leftovers() == []
    assert clean_home.held_locks() == []


def placed(case: Case, home: Home, places: dict[str, str], directory: Path) -> list[str]:
    """The arguments, once the case's files are where they belong."""
    known = {**places, "directory": str(directory)}
    for name, content in case.files.items():
        path = (home.directory if name.startswith("state/") else directory) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        known[name] = str(path)
    if case.settings is not None:
        home.configure(case.settings)
    return [known.get(word[1:-1], word) if word[:1] == "{" else word for word in case.words]


def assert_told(said: Said, case: Case, *, as_json: bool) -> None:
    """One error, in words that a terminal shows; nothing of Python's."""
    assert "Traceback" not in said.stderr
    assert "bug in the harness" not in said.stderr, said.stderr
    assert case.error in said.stderr
    if case.code == 2:
        assert "harness: " in said.stderr
        # A trace is printed step by step, to the one that cannot be.
        assert as_json or case.words[:2] == ("model", "trace") or said.stdout == ""
    for text in (said.stderr, said.stdout):
        assert [char for char in text if not char.isprintable() and char != "\n"] == []
        assert len(text) < 20_000
