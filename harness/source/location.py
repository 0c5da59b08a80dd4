"""Which source tree is meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from harness.errors import UsageError

#: FreeBSD's own repository; what ``--source`` is where nothing else says.
OFFICIAL_SOURCE = "https://git.FreeBSD.org/src.git"


def source_location(flag: str | None, of_settings: Callable[[], str | None]) -> str:
    """The flag, ``$HARNESS_SOURCE``, the settings, FreeBSD's own repository; the first there is.

    Args:
        flag: of ``--source``.
        of_settings: reads ``source.tree``, which nobody does who need not.
    """
    return flag or os.environ.get("HARNESS_SOURCE") or of_settings() or OFFICIAL_SOURCE


def is_url(location: str) -> bool:
    """Whether a source is a repository that is cloned, rather than a directory of this host."""
    return "://" in location or location.startswith("git@")


def existing_location(
    flag: str | None, of_settings: Callable[[], str | None], named: Collection[str]
) -> str:
    """The same; what is no URL, nor one of the ``named`` sources, must be there.

    Raises:
        UsageError: it is not, in words that name where it was given.
    """
    location = source_location(flag, of_settings)
    if location in named or is_url(location) or Path(location).expanduser().is_dir():
        return location
    given = "HARNESS_SOURCE" if os.environ.get("HARNESS_SOURCE") else "source.tree of the settings"
    raise UsageError(
        f"the source tree {location} is not a folder",
        remedy=f"name a FreeBSD source tree, a git URL, or {' or '.join(map(repr, named))} with "
        f"{'--source' if flag else given}",
    )
