"""What docstrings, comments and documents name exists, and one name has one meaning."""

from __future__ import annotations

import ast
import builtins
import functools
import re
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
MODULES = sorted((CHECKOUT / "harness").glob("**/*.py"))
SUBSYSTEMS = CHECKOUT / "harness" / "subsystems"
PROTOCOLS = CHECKOUT / "harness" / "check" / "subject.py"

#: What stands between two pairs of backquotes, and means a thing of ours if it has this shape.
NAMED = re.compile(r"``([^`\n]+)``")
MODULE = re.compile(r"harness(\.\w+)+")
OURS = re.compile(r"(harness|images|vmconfigs|tests|ci)/[\w./*-]+")
MEMBER = re.compile(r"([A-Z]\w*[a-z]\w*)\.(\w+)(\(\))?")
CLASS = re.compile(r"[A-Z][a-z]+([A-Z][a-z]+)+")
COMMAND = re.compile(r"harness ([a-z]+)\b.*")

#: Of QEMU's control protocol and of this Python's library, of which comments say what they mean.
FOREIGN = {"RunState", "ShutdownCause", *dir(builtins), *typing.__all__}


@functools.cache
def trees() -> tuple[tuple[Path, ast.Module], ...]:
    return tuple((path, ast.parse(path.read_text("utf-8"))) for path in MODULES)


def documented(tree: ast.Module, text: str) -> Iterator[str]:
    """The docstrings and comments of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)
    yield "\n".join(line for line in text.splitlines() if line.lstrip().startswith("#"))


@functools.cache
def members() -> dict[str, set[str]]:
    """What the classes of the package define, each by its name."""
    found: dict[str, set[str]] = defaultdict(set)
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name] |= names_in(node)
    return found


def names_in(node: ast.AST) -> set[str]:
    """All that is defined or assigned in a class or a module, with the names it imports."""
    found = set()
    for each in ast.walk(node):
        match each:
            case ast.FunctionDef() | ast.ClassDef():
                found.add(each.name)
            case ast.Name(ctx=ast.Store()):
                found.add(each.id)
            case ast.Attribute(ctx=ast.Store()):
                found.add(each.attr)
    return found


def module_has(dotted: str) -> bool:
    """Whether a dotted name is a module's, or that of something defined in one."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        place = CHECKOUT.joinpath(*parts[:end])
        rest = parts[end:]
        if place.is_dir():
            return not rest
        if place.with_suffix(".py").is_file():
            defined = names_in(ast.parse(place.with_suffix(".py").read_text("utf-8")))
            return all(part in defined for part in rest)
    return False


@functools.cache
def commands() -> set[str]:
    return {path.stem for path in (CHECKOUT / "harness" / "cli").glob("*.py")}


def unknown(name: str, classes: dict[str, set[str]]) -> bool:
    """Whether a name between backquotes means something of ours that is not there."""
    if MODULE.fullmatch(name):
        return not module_has(name)
    if OURS.fullmatch(name):
        return not any(CHECKOUT.glob(name))
    if command := COMMAND.fullmatch(name):
        return command[1] not in commands()
    if member := MEMBER.fullmatch(name):
        return member[1] in classes and member[2] not in classes[member[1]]
    if CLASS.fullmatch(name):
        return name not in classes and name not in FOREIGN
    return False


def test_what_docstrings_and_comments_name_exists() -> None:
    classes = members()
    wrong = [
        f"{path.relative_to(CHECKOUT)}: {name}"
        for path, tree in trees()
        for text in documented(tree, path.read_text("utf-8"))
        for name in NAMED.findall(text)
        if unknown(name, classes)
    ]
    assert not wrong


@pytest.mark.parametrize("document", ["README.md", "harness/README.md", "tests/README.md"])
def test_what_a_document_names_exists(document: str) -> None:
    """Files of the repository, and modules as the map's tables name them."""
    text = (CHECKOUT / document).read_text("utf-8")
    named = set(re.findall(r"`((?:harness|images|vmconfigs|tests|ci|subsystems)/[\w./*-]+)`", text))
    wrong = sorted(
        name
        for name in named
        if not any(CHECKOUT.glob(name)) and not any((CHECKOUT / "harness").glob(name))
    )
    assert not wrong


def test_modules_that_the_map_names_exist() -> None:
    """By their paths below ``harness/``, from a package on."""
    package = CHECKOUT / "harness"
    text = (package / "README.md").read_text("utf-8")
    paths = set(re.findall(r"`((\w+)/[\w/]+\.(?:py|json|c))`", text))
    named = [package / path for path, first in paths if (package / first).is_dir()]
    assert named
    assert not [path for path in named if not path.is_file()]


def test_the_map_has_every_package_and_module_at_the_top() -> None:
    package = CHECKOUT / "harness"
    text = (package / "README.md").read_text("utf-8")
    rows = {name for line in text.splitlines() if line.startswith("| `")
            for name in re.findall(r"`([\w/.]+)`", line.split("|")[1])}  # fmt: skip
    there = {f"{path.parent.relative_to(package)}/" for path in package.glob("*/__init__.py")}
    there |= {f"subsystems/{path.parent.name}/" for path in package.glob("subsystems/*/__init__.py")
              if path.parent.name not in ("__pycache__", "c")}  # fmt: skip
    there |= {path.name for path in package.glob("*.py") if path.name != "__init__.py"}
    assert there <= rows


def test_a_class_has_a_name_of_its_own() -> None:
    """Subsystems share the names of what each of them has, and of the protocols of ``check/``."""
    places = defaultdict(list)
    for path, tree in trees():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    twice = {
        name: [str(path.relative_to(CHECKOUT)) for path in paths]
        for name, paths in places.items()
        if len(paths) > 1
        and not all(path.is_relative_to(SUBSYSTEMS) for path in paths)
        and PROTOCOLS not in paths
    }
    assert not twice
