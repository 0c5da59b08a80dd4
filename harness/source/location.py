"""The location of the source tree: option, environment, settings or default."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from harness.errors import UsageError

#: FreeBSD's git repository, the default of ``--source``.
OFFICIAL_SOURCE = "https://git.FreeBSD.org/src.git"


def source_location(flag: str | None, of_settings: Callable[[], str | None]) -> str:
    """Return the first of: the flag, ``$HARNESS_SOURCE``, the settings, FreeBSD's repository.

    Args:
        flag: the argument of ``--source``, or None.
        of_settings: reads ``source.tree``; called only if it is needed.
    """
    return flag or os.environ.get("HARNESS_SOURCE") or of_settings() or OFFICIAL_SOURCE


def is_url(location: str) -> bool:
    """Return whether a source is a URL to clone, not a directory of this host."""
    return "://" in location or location.startswith("git@")


def existing_location(
    flag: str | None, of_settings: Callable[[], str | None], named: Collection[str]
) -> str:
    """Return the source location; a directory must exist.

    Args:
        flag: the argument of ``--source``, or None.
        of_settings: reads ``source.tree``; called only if it is needed.
        named: names of sources that are not directories.

    Raises:
        UsageError: it is neither a URL, nor a named source, nor a directory.
    """
    location = source_location(flag, of_settings)
    if location in named or is_url(location) or Path(location).expanduser().is_dir():
        return location
    given = "HARNESS_SOURCE" if os.environ.get("HARNESS_SOURCE") else "source.tree of the settings"
    raise UsageError(
        f"the source tree {location} is not a directory",
        remedy=f"name a FreeBSD source tree, a git URL, or {' or '.join(map(repr, named))} with "
        f"{'--source' if flag else given}",
    )
