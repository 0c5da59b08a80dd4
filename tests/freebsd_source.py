"""The FreeBSD source tree that tests build from, as the user configured it."""

from __future__ import annotations

from pathlib import Path

from harness.config import load_settings
from harness.source.location import OFFICIAL_SOURCE, source_location


def configured_tree() -> str | None:
    """Return the directory in ``$HARNESS_SOURCE`` or the settings; None if there is none.

    A URL would have to be cloned, and the built-in guest is not FreeBSD: neither counts.
    """
    location = source_location(None, lambda: load_settings().source.tree)
    if location in {OFFICIAL_SOURCE, "embedded"} or "://" in location:
        return None
    return str(Path(location).expanduser())
