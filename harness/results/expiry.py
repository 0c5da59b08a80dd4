"""Removal of records, by their age and total size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.host.cachesize import CacheEntry, choose, disk_usage, remove
from harness.results.store import RECORD, Store

_AGE: Final = re.compile(r"(\d{1,6})\s*([hdwmy])\Z")

#: Seconds; a month has 30 days, and a year 365.
_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400, "m": 30 * 86400, "y": 365 * 86400}


def parse_age(text: str) -> int:
    """Return the seconds of an age such as ``12h``, ``30d``, ``8w``, ``6m`` or ``1y``.

    Raises:
        UsageError: the text is not an age.
    """
    found = _AGE.match(text.strip())
    if found is None:
        raise UsageError(
            f"{text[:60]!r} is not an age", remedy="write it as 12h, 30d, 8w, 6m or 1y"
        )
    return int(found[1]) * _UNITS[found[2]]


def run_entries(store: Store) -> list[CacheEntry]:
    """Return all runs that have a record, oldest first."""
    directories = [store.directory / name for name in store.names()]
    return [
        CacheEntry(
            "run",
            directory,
            (directory,),
            disk_usage(directory),
            (directory / RECORD).stat().st_mtime,
        )
        for directory in directories
    ]


def expired(
    entries: Sequence[CacheEntry], *, now: float, age: int | None, limit: int | None
) -> list[CacheEntry]:
    """Return the runs to remove, oldest first.

    Args:
        entries: the runs that may be removed.
        now: seconds since the epoch.
        age: seconds after which a run is removed; None: no limit.
        limit: bytes that the remaining runs may take; None: no limit.
    """
    old = [entry for entry in entries if age is not None and now - entry.used > age]
    rest = [entry for entry in entries if entry not in old]
    return [*old, *(choose(rest, limit) if limit is not None else [])]


def kept_by(entries: Sequence[CacheEntry], consoles: Sequence[Path]) -> list[CacheEntry]:
    """Return the runs of guests that are still running.

    Args:
        entries: the runs to choose from.
        consoles: the console logs of the running guests.
    """
    return [
        entry
        for entry in entries
        if any(console.is_relative_to(entry.path.resolve()) for console in consoles)
    ]


def remove_run(entry: CacheEntry) -> None:
    """Remove a run, its record last, so that an interrupted removal can be repeated.

    Raises:
        InfraError: a file cannot be removed.
    """
    for path in entry.path.iterdir():
        if path.name != RECORD:
            remove(path)
    remove(entry.path)
