"""Which source tree is meant."""

from __future__ import annotations

import os
from collections.abc import Callable

#: FreeBSD's own repository; what ``--source`` is where nothing else says.
OFFICIAL_SOURCE = "https://git.FreeBSD.org/src.git"


def source_location(flag: str | None, of_settings: Callable[[], str | None]) -> str:
    """The flag, ``$HARNESS_SOURCE``, the settings, FreeBSD's own repository; the first there is.

    Args:
        flag: of ``--source``.
        of_settings: reads ``source.tree``, which nobody does who need not.
    """
    return flag or os.environ.get("HARNESS_SOURCE") or of_settings() or OFFICIAL_SOURCE
