"""Names of kernel sources that are neither a directory nor a URL."""

from __future__ import annotations

from typing import Final

BUILT_IN: Final = "embedded"
"""The built-in guest."""

BUILT_IN_TITLE: Final = "the built-in guest"
TREE_TITLE: Final = "a kernel of a FreeBSD tree"
"""Title of trees' kernels in error messages."""

NAMED_SOURCES: Final = (BUILT_IN,)
"""Names that ``--source`` accepts besides trees."""
