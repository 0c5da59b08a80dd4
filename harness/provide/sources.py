"""The sources of kernels that are neither a directory nor a URL."""

from __future__ import annotations

from typing import Final

BUILT_IN: Final = "embedded"
"""The built-in guest."""

NAMED_SOURCES: Final = (BUILT_IN,)
"""What ``--source`` may name beside trees."""
