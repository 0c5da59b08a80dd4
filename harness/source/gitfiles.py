"""Checks for special files in a git directory, on which git would block.

open(2) of a FIFO blocks until a process writes to it, and some devices have no end. Therefore all
that git may open in a user's repository is checked first: references, their logs, objects, packs.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness.errors import UsageError

COMMITS: Final = (
    "HEAD", "ORIG_HEAD", "FETCH_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD",
    "REBASE_HEAD", "BISECT_HEAD",
)  # fmt: skip
"""Files of a git directory that contain a commit's hash or the name of a reference."""

#: Files that git or the harness opens by name.
_FILES: Final = (*COMMITS, "commondir", "config", "index", "packed-refs", "shallow")

#: Directories in which git may open every file.
_DIRECTORIES: Final = ("info", "logs", "objects", "refs", "reftable")

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def refuse_special_files(git_dir: Path) -> None:
    """Check that a git directory has no special files.

    Raises:
        UsageError: there is a FIFO, a socket, a device, or a directory in place of a file.
    """
    for path in (git_dir / name for name in _FILES):
        if path.exists() and not path.is_file():
            raise _special(path)
    seen: set[tuple[int, int]] = set()
    for name in _DIRECTORIES:
        for path in _special_below(git_dir / name, seen):
            raise _special(path)


def _special_below(directory: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Generate the special files below a directory, following links, each directory once."""
    left = [str(directory)]
    while left:
        for entry in _entries(left.pop(), seen):
            if entry.is_dir():
                left.append(entry.path)
            elif not entry.is_file() and Path(entry).exists():
                yield Path(entry)


def _entries(directory: str, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """Return the entries of a directory; none if it was seen before or cannot be read."""
    try:
        status = os.stat(directory)
        identity = status.st_dev, status.st_ino
        if identity in seen:
            return []
        seen.add(identity)
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _special(path: Path) -> UsageError:
    kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode), "not a file")
    return UsageError(
        f"cannot read the repository: {path} is {kind}",
        remedy=f"remove it: rm -r {shlex.quote(str(path))}",
    )
