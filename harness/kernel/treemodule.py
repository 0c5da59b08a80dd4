"""Modules of the tree itself, which a guest loads with kldload(8).

They are built one by one, as directories below ``sys/modules``, against the kernel's objects: all
of them would take longer than the kernel.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import BuildError, UsageError
from harness.host.workspace import make_directory
from harness.kernel.module import module_build

if TYPE_CHECKING:
    from harness.kernel.make import Make

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:/[A-Za-z0-9][A-Za-z0-9_-]*){0,3}", re.ASCII)
_FILE = re.compile(r"tree\+(?P<name>[A-Za-z0-9_,-]+)\+(?P<file>[A-Za-z0-9_.-]+\.ko)", re.ASCII)
_BELOW: Final = "sys/modules"


def check_module_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of modules, each once.

    Raises:
        UsageError: one is not a directory below sys/modules.
    """
    found = tuple(dict.fromkeys(names))
    for name in found:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"--module: {name!r} is not a module",
                remedy=f"name a directory below {_BELOW} of the tree, such as dummynet",
            )
    return found


def _require_tree_module(tree: Path, name: str) -> None:
    if not (tree / _BELOW / name / "Makefile").is_file():
        raise UsageError(
            f"--module: the tree has no module {name}",
            remedy=f"name a directory below its {_BELOW}",
        )


def tree_module_file(name: str, built: str) -> str:
    """Return the name under which a module's file is kept.

    Args:
        name: the module's directory.
        built: the file's own name, by which the guest knows it.
    """
    return f"tree+{name.replace('/', ',')}+{built}"


def own_name(kept: str) -> str:
    """Return the file's own name, of one that is kept."""
    return kept.rpartition("+")[2]


def tree_modules_among(names: Iterable[str]) -> dict[str, str]:
    """Return the names of kept files, by their modules' directories."""
    found = (_FILE.fullmatch(name) for name in names)
    return {match["name"].replace(",", "/"): match[0] for match in found if match is not None}


def prepared_tree_module(
    make: Make, name: str, directory: Path, kernel_objects: Path
) -> tuple[Path, str]:
    """Return the directory of a module's objects, and the script that builds it in ``buildenv``.

    Args:
        make: the tree's make.
        name: the module's directory.
        directory: the directory of modules' objects.
        kernel_objects: object directory of the kernel, which is already built.

    Raises:
        UsageError: the tree has no such module.
    """
    _require_tree_module(make.tree, name)
    work = directory / "tree" / name
    make_directory(work)
    build = module_build(make, kernel_objects)
    return work, (
        f"#!{shutil.which('sh')}\nset -e\ncd {make.tree}/{_BELOW}/{name}\n"
        f"unset MAKEOBJDIRPREFIX\nexport MAKEOBJDIR={work}\n{build.flags}{build.command} all\n"
    )


def built_tree_module(work: Path, name: str) -> Path:
    """Return the file that a build has made.

    Raises:
        BuildError: there is none, or there are several.
    """
    found = sorted(work.glob("*.ko"))
    if len(found) != 1 or not _FILE.fullmatch(tree_module_file(name, found[0].name)):
        raise BuildError(
            f"the module {name} makes {len(found)} files to load, not one",
            remedy="name a directory with one module",
        )
    return found[0]
