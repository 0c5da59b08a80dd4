"""The FreeBSD source tree that tests build from: the one that the user configured."""

from __future__ import annotations

from pathlib import Path

from harness.config import load_settings
from harness.source.location import OFFICIAL_SOURCE, source_location


def configured_tree() -> str | None:
    """The directory named by ``$HARNESS_SOURCE`` or the settings; None if neither names one.

    A URL would have to be cloned, and the built-in guest is not FreeBSD: neither counts.
    """
    location = source_location(None, lambda: load_settings().source.tree)
    if location in {OFFICIAL_SOURCE, "embedded"} or "://" in location:
        return None
    return str(Path(location).expanduser())
