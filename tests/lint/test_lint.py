"""The linter, the formatter and the type checker find nothing."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from harness.host.process import HostRunner

CHECKOUT = Path(__file__).parents[2]
TESTS = CHECKOUT / "tests"

MODULES = sorted(TESTS.glob("**/*.py"))
DIRECTORIES = sorted({path.parent for path in MODULES})
SCRIPTS = [
    path
    for path in sorted((CHECKOUT / "ci").iterdir())
    if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env python3")
]


def finds_nothing(*argv: str | Path, **env: str) -> bool:
    """Whether a tool of this Python's environment exits with 0; if not, the test shows why."""
    finished = HostRunner().run(
        [sys.executable, "-m", *argv], cwd=CHECKOUT, env=env, deadline=500, check=False
    )
    if finished.returncode != 0:
        pytest.fail(finished.text + finished.stderr.decode("utf-8", "replace"), pytrace=False)
    return True


def test_ruff_finds_nothing() -> None:
    assert finds_nothing("ruff", "check", "harness", "tests", *SCRIPTS)


def test_everything_is_formatted() -> None:
    assert finds_nothing("ruff", "format", "--check", "harness", "tests", *SCRIPTS)


def test_types_of_the_package_and_of_all_tests(tmp_path: Path) -> None:
    """One run, which takes a third less CPU than one for each directory.

    Of all modules of the tests, conftest.py alone has one name in several directories: mypy reads
    those through links whose names differ.
    """
    conftests = [path for path in MODULES if path.name == "conftest.py" and path.parent != TESTS]
    others = [path for path in MODULES if path not in conftests]
    for path in conftests:
        (tmp_path / f"conftest_of_{path.parent.name}.py").symlink_to(path)
    places = os.pathsep.join(map(str, [*DIRECTORIES, tmp_path]))
    links = sorted(tmp_path.iterdir())
    assert finds_nothing("mypy", "harness", *others, *links, MYPYPATH=places)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_types_of_scripts(script: Path) -> None:
    """Each alone, as none is a module; ``harness`` is read from mypy's cache."""
    assert finds_nothing("mypy", script, MYPYPATH=str(TESTS / "fuzz"))


def imported(path: Path) -> set[str]:
    """The first names of all modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in names}


def test_a_test_imports_helpers_from_its_own_directory_and_from_the_one_above_alone() -> None:
    """So that the tests of any directory run by themselves."""
    for path in MODULES:
        reachable = {other.stem for other in MODULES if other.parent in (path.parent, TESTS)}
        elsewhere = {other.stem for other in MODULES} - reachable
        assert not imported(path) & elsewhere, path
