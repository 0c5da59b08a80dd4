"""Keeps the cache within a size: what was not used for longest goes first."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.host.inuse import claimed
from harness.host.workspace import Workspace, host_refused, unique

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\Z", re.IGNORECASE)
DRY_RUNS: Final = "dry-runs"
"""The directory in the cache of what the commands of ``--dry-run`` boot from, and its lock."""

_UNITS = ("", "K", "M", "G", "T")
_MOST_DIGITS = 24

#: Files of a tree whose time is that of its last use: of a build, and of any look at it.
_TREE_USED = ("last-build", "last-use")

#: Who builds from a tree, and who reads it.
_TREE_LOCKS = ("tree", "read", "onhost")

HOST_PROGRAMS: Final = "onhost"
"""The directory in the cache of programs of the host, their objects and their kept checks."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """Something of the cache that is removed as a whole.

    Args:
        kind: what it is, for people.
        path: its file or folder.
        guards: what must be free for it to be removed: itself, and locks.
        size: bytes of disk that it takes.
        used: when it was last built or booted, in seconds since the epoch.
    """

    kind: str
    path: Path
    guards: tuple[Path, ...]
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of the cache.

    Args:
        removed: what went, oldest first.
        busy: what should have gone but is in use.
        before: bytes in the cache before.
        after: bytes in it now.
    """

    removed: tuple[CacheEntry, ...]
    busy: tuple[CacheEntry, ...]
    before: int
    after: int


def cache_entries(workspace: Workspace) -> list[CacheEntry]:
    """All that may be removed: kernels, images, and trees with their objects."""
    entries = [
        _entry(kind, path, (path,), ())
        for kind in ("kernel", "image")
        for path in _whole(workspace.cache / f"{kind}s")
    ]
    lock = workspace.cache / "locks" / f"{DRY_RUNS}.lock"
    entries += [
        _entry("dry run", path, (path, lock), ()) for path in _whole(workspace.cache / DRY_RUNS)
    ]
    programs = workspace.cache / HOST_PROGRAMS
    entries += [_entry("host programs", programs, (programs,), ())] if programs.is_dir() else []
    for folder in _whole(workspace.cache / "trees"):
        locks = (workspace.cache / "locks" / f"{use}-{folder.name}.lock" for use in _TREE_LOCKS)
        guards = (folder, *locks)
        entries.append(_entry("tree", folder, guards, [folder / name for name in _TREE_USED]))
    return entries


def choose(entries: Sequence[CacheEntry], limit: int) -> list[CacheEntry]:
    """Those to remove, oldest first, so that the rest takes no more than ``limit`` bytes."""
    excess = sum(entry.size for entry in entries) - limit
    chosen = []
    for entry in sorted(entries, key=lambda entry: entry.used):
        if excess <= 0:
            break
        chosen.append(entry)
        excess -= entry.size
    return chosen


def collect(
    workspace: Workspace,
    limit: int,
    *,
    spared: Collection[Path] = (),
    dry_run: bool = False,
) -> Collected:
    """Bring the cache down to ``limit`` bytes; what is in use stays, and others go instead.

    Args:
        workspace: whose cache.
        limit: bytes.
        spared: entries that count as in use.
        dry_run: say what would go, and remove nothing.

    Raises:
        InfraError: the host does not let us remove something.
    """
    with workspace.lock("gc"):
        entries = cache_entries(workspace)
        free = [entry for entry in entries if entry.path not in spared and _is_free(entry)]
        busy = [entry for entry in entries if entry not in free]
        chosen = choose(free, limit - sum(entry.size for entry in busy))
        removed = [entry for entry in chosen if dry_run or _remove(entry)]
    before = sum(entry.size for entry in entries)
    after = before - sum(entry.size for entry in removed)
    return Collected(tuple(removed), tuple(busy) if after > limit else (), before, after)


def parse_size(text: str) -> int:
    """Bytes of ``20G``, ``1.5T``, ``500 MiB`` or ``1048576``; units are powers of 1024.

    Raises:
        UsageError: it is no size.
    """
    found = _SIZE.match(text.strip())
    if found is None or len(found[1]) > _MOST_DIGITS:
        raise UsageError(f"{text[:60]!r} is not a size", remedy="write it as 500M, 20G or 1.5T")
    return int(float(found[1]) * 1024 ** _UNITS.index(found[2].upper()))


def format_size(size: float) -> str:
    """``1.9 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def disk_usage(path: Path) -> int:
    """Bytes of disk that a file, or a folder with all in it, takes, as du(1) counts them."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_blocks * 512
    total = 0
    for place, _, files in os.walk(path):
        for name in (".", *files):
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it.

    Raises:
        InfraError: the host does not let us.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise host_refused(path, error) from error


def _entry(kind: str, folder: Path, guards: tuple[Path, ...], used: Sequence[Path]) -> CacheEntry:
    times = [folder.lstat().st_mtime, *(path.stat().st_mtime for path in used if path.exists())]
    return CacheEntry(kind, folder, guards, disk_usage(folder), max(times))


def _whole(parent: Path) -> list[Path]:
    """Whole files and folders only: a name with a dot in front is still being filled."""
    return sorted(parent.glob("[!.]*"))


def _is_free(entry: CacheEntry) -> bool:
    with _all_claimed(entry) as free:
        return free


@contextlib.contextmanager
def _all_claimed(entry: CacheEntry) -> Iterator[bool]:
    with contextlib.ExitStack() as held:
        yield all(held.enter_context(claimed(guard)) for guard in entry.guards)


def _remove(entry: CacheEntry) -> bool:
    """Remove it unless somebody has begun to use it; at no time is half of it there."""
    going = entry.path.with_name(f".{entry.path.name}.{unique()}")
    with _all_claimed(entry) as free:
        if not free:
            return False
        try:
            entry.path.rename(going)
        except OSError as error:
            raise host_refused(entry.path, error) from error
        remove(going)
    return True
