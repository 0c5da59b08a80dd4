"""What earlier builds have left for later ones: the tree's own tools, and objects.

make(1) goes by time stamps alone, so it takes a tool or an object that was cut short for whole. A
host that loses power leaves such files. To read all of them for each build would take longer than
a small build does, so their sizes are compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.errors import BuildError
from harness.host.documents import read_object
from harness.host.workspace import write_atomic

#: Below the build's ``tmp``: what is installed there; the rest are objects of it.
TOOLS: Final = ("bin", "legacy", "lib", "usr")

#: Of the tree's make.
MAKE: Final = ("bin", "share")

#: Objects, and what is linked from them.
_OBJECTS: Final = (".o", "kernel", "kernel.full", "kernel.debug")


def sizes_below(folder: Path, parts: Sequence[str]) -> dict[str, int]:
    """The sizes of all files in some directories of ``folder``, by their paths in it."""
    found: dict[str, int] = {}
    for part in parts:
        for place, _, files in os.walk(folder / part):
            for name in files:
                path = os.path.join(place, name)
                found[os.path.relpath(path, folder)] = os.lstat(path).st_size
    return found


def object_sizes(folder: Path) -> dict[str, int]:
    """The sizes of all objects of a kernel; none if it was never built."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {
            entry.name: entry.stat(follow_symlinks=False).st_size
            for entry in entries
            if entry.name.endswith(_OBJECTS) and entry.is_file(follow_symlinks=False)
        }


def without_links(path: Path, top: Path) -> Path:
    """The path, none of whose parts below ``top`` is a link.

    A build writes what it likes below ``top``; through a link, the harness would then read,
    write or remove files elsewhere.

    Raises:
        BuildError: one is.
    """
    if os.path.realpath(path) != os.path.join(os.path.realpath(top), path.relative_to(top)):
        raise BuildError(
            f"the build has put a symbolic link in the place of {path}, which is not followed",
            remedy="look at the tree's makefiles; harness gc removes what they built",
        )
    return path


def keep_sizes(sizes: Mapping[str, int], memory: Path) -> None:
    """Keep the sizes of what a build has left.

    Raises:
        InfraError: the disk is full, or the directory not writable.
    """
    write_atomic(memory, json.dumps(sizes))


def damaged(sizes: Mapping[str, int], memory: Path) -> list[str]:
    """The names of what is missing or has another size than was kept; none if none was kept."""
    try:
        known = read_object(memory)
    except (OSError, ValueError):
        return []
    return sorted(name for name, size in known.items() if sizes.get(name) != size)
