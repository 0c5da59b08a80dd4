"""The size of the cache: the least recently used entries are removed first."""

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
"""The cache's directory for files of ``--dry-run`` commands; also the name of its lock."""

_UNITS = ("", "K", "M", "G", "T")
_MOST_DIGITS = 24

#: Files of a tree whose modification time is that of its last build and its last use.
_TREE_USED = ("last-build", "last-use")

HOST_PROGRAMS: Final = "onhost"
"""The directory in the cache of host programs, their objects and stored checks; in a tree's home,
that of the files they are compiled from.
"""

HOST_VARIATIONS: Final = "variations"
"""The directory in a tree's home that a program's many variations are compiled from, which takes
minutes: no other check of the tree waits for it.
"""

#: Locks of a tree: for kernels, for reading, for its world, and for host programs.
_TREE_LOCKS = ("tree", "read", "world", HOST_PROGRAMS, HOST_VARIATIONS)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An entry of the cache, which is removed as a whole.

    Args:
        kind: a word for reports, such as ``kernel``.
        path: its file or directory.
        guards: files that must not be locked when it is removed: the entry itself, and locks.
        size: its disk usage in bytes.
        used: time of the last build or boot, in seconds since the epoch.
    """

    kind: str
    path: Path
    guards: tuple[Path, ...]
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class Collected:
    """The result of a garbage collection.

    Args:
        removed: removed entries, oldest first.
        busy: entries in use, if the cache is still above its limit.
        before: size of the cache before, in bytes.
        after: size of the cache afterwards, in bytes.
    """

    removed: tuple[CacheEntry, ...]
    busy: tuple[CacheEntry, ...]
    before: int
    after: int


def cache_entries(workspace: Workspace) -> list[CacheEntry]:
    """Return all entries: each kernel, replica, image, tree with its objects, and so on."""
    entries = [
        entry
        for kind in ("kernel", "replica", "image", "snapshot", "world")
        for entry in _entries_of(workspace, kind)
    ]
    lock = workspace.cache / "locks" / f"{DRY_RUNS}.lock"
    entries += [
        _entry("dry run", path, (path, lock), ()) for path in _whole(workspace.cache / DRY_RUNS)
    ]
    programs = workspace.cache / HOST_PROGRAMS
    entries += [_entry("host programs", programs, (programs,), ())] if programs.is_dir() else []
    for directory in _whole(workspace.cache / "trees"):
        locks = (workspace.cache / "locks" / f"{use}-{directory.name}.lock" for use in _TREE_LOCKS)
        guards = (directory, *locks)
        entries.append(_entry("tree", directory, guards, [directory / name for name in _TREE_USED]))
    return entries


def _entries_of(workspace: Workspace, kind: str) -> list[CacheEntry]:
    """Return the entries that are directories of their own below the kind's."""
    return [_entry(kind, path, (path,), ()) for path in _whole(workspace.cache / f"{kind}s")]


def choose(entries: Sequence[CacheEntry], limit: int) -> list[CacheEntry]:
    """Return the entries to remove, oldest first, so that the rest is at most ``limit`` bytes."""
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
    """Remove the oldest entries until the cache is at most ``limit`` bytes.

    Entries in use are kept, and newer ones are removed instead.

    Args:
        workspace: the workspace of the cache.
        limit: bytes.
        spared: entries that count as in use.
        dry_run: return what would be removed, and remove nothing.

    Raises:
        InfraError: an entry cannot be removed.
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


def trim(workspace: Workspace, kind: str, limit: int, *, dry_run: bool = False) -> list[CacheEntry]:
    """Remove the oldest entries of a kind until they have at most ``limit`` bytes; return them.

    Entries in use are kept; ``dry_run`` keeps all.

    Raises:
        InfraError: an entry cannot be removed.
    """
    with workspace.lock("gc"):
        entries = _entries_of(workspace, kind)
        free = [entry for entry in entries if _is_free(entry)]
        busy = sum(entry.size for entry in entries if entry not in free)
        return [entry for entry in choose(free, limit - busy) if dry_run or _remove(entry)]


def parse_size(text: str) -> int:
    """Return the bytes of ``20G``, ``1.5T``, ``500 MiB`` or ``1048576``; units are powers of 1024.

    Raises:
        UsageError: the text is not a size.
    """
    found = _SIZE.match(text.strip())
    if found is None or len(found[1]) > _MOST_DIGITS:
        raise UsageError(f"{text[:60]!r} is not a size", remedy="write it as 500M, 20G or 1.5T")
    return int(float(found[1]) * 1024 ** _UNITS.index(found[2].upper()))


def format_size(size: float) -> str:
    """Return a size with a unit, such as ``1.9 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def disk_usage(path: Path) -> int:
    """Return the disk usage of a file or directory in bytes, as counted by du(1)."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_blocks * 512
    total = 0
    for directory, _, files in os.walk(path):
        for name in (".", *files):
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
    return total


def remove(path: Path) -> None:
    """Remove a file, or a directory with its content.

    Raises:
        InfraError: it cannot be removed.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise host_refused(path, error) from error


def _entry(
    kind: str, directory: Path, guards: tuple[Path, ...], used: Sequence[Path]
) -> CacheEntry:
    times = [directory.lstat().st_mtime, *(path.stat().st_mtime for path in used if path.exists())]
    return CacheEntry(kind, directory, guards, disk_usage(directory), max(times))


def _whole(parent: Path) -> list[Path]:
    """Return complete entries; a name that starts with a dot is still being written."""
    return sorted(parent.glob("[!.]*"))


def _is_free(entry: CacheEntry) -> bool:
    with _all_claimed(entry) as free:
        return free


@contextlib.contextmanager
def _all_claimed(entry: CacheEntry) -> Iterator[bool]:
    with contextlib.ExitStack() as held:
        yield all(held.enter_context(claimed(guard)) for guard in entry.guards)


def _remove(entry: CacheEntry) -> bool:
    """Remove an entry unless it is in use; it is renamed first, so that no part of it is used."""
    doomed = entry.path.with_name(f".{entry.path.name}.{unique()}")
    with _all_claimed(entry) as free:
        if not free:
            return False
        try:
            entry.path.rename(doomed)
        except OSError as error:
            raise host_refused(entry.path, error) from error
        remove(doomed)
    return True
