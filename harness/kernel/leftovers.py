"""Verification of tools and objects of earlier builds, by size.

make(1) compares timestamps only, so it does not detect truncated tools and objects, as a power
failure leaves them. Reading all of them for each build would take longer than a small build, so
their sizes are compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.errors import BuildError
from harness.host.jsontoml import read_object
from harness.host.workspace import write_atomic

#: Directories of installed files in the build's ``tmp``; the others contain objects.
TOOLS: Final = ("bin", "legacy", "lib", "usr")

#: Directories of the tree's make.
MAKE: Final = ("bin", "share")

#: Endings of objects and linked files.
_OBJECTS: Final = (".o", "kernel", "kernel.full", "kernel.debug")


def sizes_below(directory: Path, parts: Sequence[str]) -> dict[str, int]:
    """Return the sizes of all files in some directories of ``directory``, by relative path."""
    found: dict[str, int] = {}
    for part in parts:
        for parent, _, files in os.walk(directory / part):
            for name in files:
                path = os.path.join(parent, name)
                found[os.path.relpath(path, directory)] = os.lstat(path).st_size
    return found


def object_sizes(directory: Path) -> dict[str, int]:
    """Return the sizes of all objects of a kernel; empty if it was never built."""
    if not directory.is_dir():
        return {}
    with os.scandir(directory) as entries:
        return {
            entry.name: entry.stat(follow_symlinks=False).st_size
            for entry in entries
            if entry.name.endswith(_OBJECTS) and entry.is_file(follow_symlinks=False)
        }


def without_links(path: Path, top: Path) -> Path:
    """Return ``path`` if none of its parts below ``top`` is a symbolic link.

    A build can write anything below ``top``; through a link, the harness would read, write or
    remove files elsewhere.

    Raises:
        BuildError: a part is a symbolic link.
    """
    if os.path.realpath(path) != os.path.join(os.path.realpath(top), path.relative_to(top)):
        raise BuildError(
            f"the build replaced {path} by a symbolic link, which is not followed",
            remedy="check the tree's makefiles, and remove their output: harness gc --limit 0",
        )
    return path


def keep_sizes(sizes: Mapping[str, int], memory: Path) -> None:
    """Store the sizes of a build's files.

    Raises:
        InfraError: the file cannot be written.
    """
    write_atomic(memory, json.dumps(sizes))


def damaged(sizes: Mapping[str, int], memory: Path) -> list[str]:
    """Return the names of files that are missing or have another size than was stored."""
    try:
        known = read_object(memory)
    except (OSError, ValueError):
        return []
    return sorted(name for name, size in known.items() if sizes.get(name) != size)
