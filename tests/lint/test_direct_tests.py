"""Every module of the packages that drive guests has direct tests: one imports it by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("boot", "guest", "kernel", "runs")

SLOW = ("freebsd", "examples", "lint")
"""Directories whose tests need a FreeBSD tree, or import nothing of the harness."""

MODULES = sorted(
    path.relative_to(CHECKOUT)
    for package in PACKAGES
    for path in (CHECKOUT / "harness" / package).rglob("*.py")
    if path.name != "__init__.py"
)


def names_imported_by(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


@cache
def imported() -> frozenset[str]:
    """Return the names of all modules that tests and their helpers import."""
    tests = CHECKOUT / "tests"
    files = (path for path in tests.rglob("*.py") if path.relative_to(tests).parts[0] not in SLOW)
    return frozenset(
        name for path in files for name in names_imported_by(ast.parse(path.read_text()))
    )


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_direct_tests(module: Path) -> None:
    name = ".".join(module.with_suffix("").parts)
    assert name in imported(), f"no test imports {name}: write one of what it decides"
