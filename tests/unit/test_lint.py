"""The linter, the formatter and the type checker have nothing to say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.host.process import HostRunner

CHECKOUT = Path(__file__).parents[2]
TESTS = CHECKOUT / "tests"

FOLDERS = sorted(folder.name for folder in TESTS.iterdir() if any(folder.glob("*.py")))


def content(*argv: str | Path, **env: str) -> bool:
    """Whether a tool of this Python's environment is; if not, the test shows what it says."""
    finished = HostRunner().run(
        [sys.executable, "-m", *argv], cwd=CHECKOUT, env=env, deadline=500, check=False
    )
    if finished.returncode != 0:
        pytest.fail(finished.text + finished.stderr.decode("utf-8", "replace"), pytrace=False)
    return True


def test_ruff_finds_nothing() -> None:
    assert content("ruff", "check", "harness", "tests")


def test_everything_is_formatted() -> None:
    assert content("ruff", "format", "--check", "harness", "tests")


def test_types_of_the_package() -> None:
    assert content("mypy", "harness")


@pytest.mark.parametrize("folder", [".", *FOLDERS])
def test_types_of_the_tests(folder: str) -> None:
    """One folder at a time: each is a place of its own to import from, as pytest has it."""
    place = TESTS / folder
    assert content("mypy", *sorted(place.glob("*.py")), MYPYPATH=f"{place}:{TESTS}")
