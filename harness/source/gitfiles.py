"""What a repository may hold in the place of a file: git opens whatever is there, and waits.

open(2) of a FIFO ends when somebody writes to it, and some devices have no end. So all that git
may open in a user's repository is looked at before: references, their logs, objects, packs.
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
"""Files of a git directory that hold a commit's hash, or name a reference."""

#: All that git, or the harness for it, opens by name.
_FILES: Final = (*COMMITS, "commondir", "config", "index", "packed-refs", "shallow")

#: Directories of which it may open every file.
_DIRECTORIES: Final = ("info", "logs", "objects", "refs", "reftable")

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def refuse_special_files(git_dir: Path) -> None:
    """See that a git directory holds files where it should.

    Raises:
        UsageError: it holds a FIFO, a socket, a device, or a directory in the place of a file.
    """
    for path in (git_dir / name for name in _FILES):
        if path.exists() and not path.is_file():
            raise _special(path)
    seen: set[tuple[int, int]] = set()
    for name in _DIRECTORIES:
        for path in _special_below(git_dir / name, seen):
            raise _special(path)


def _special_below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """What is neither a file nor a directory below one; links are followed, each place once."""
    left = [str(folder)]
    while left:
        for entry in _entries(left.pop(), seen):
            if entry.is_dir():
                left.append(entry.path)
            elif not entry.is_file() and Path(entry).exists():
                yield Path(entry)


def _entries(folder: str, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """None of one that was seen, is not there, or is not ours to read, of which git has words."""
    try:
        status = os.stat(folder)
        place = status.st_dev, status.st_ino
        if place in seen:
            return []
        seen.add(place)
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _special(path: Path) -> UsageError:
    kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode), "no file")
    return UsageError(
        f"{path} is {kind}, and git would read it as a file",
        remedy=f"remove it: rm -r {shlex.quote(str(path))}",
    )
