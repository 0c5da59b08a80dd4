"""What tests on real FreeBSD share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from freebsd_source import configured_tree


@pytest.fixture(scope="session")
def freebsd_tree() -> Path:
    """The configured source tree; tests only read it."""
    tree = configured_tree()
    if tree is None:
        pytest.skip("no source tree: set HARNESS_SOURCE or source.tree of the settings")
    assert Path(tree, "sys/conf/newvers.sh").is_file(), f"{tree} is not a FreeBSD source tree"
    return Path(tree)


@pytest.fixture(scope="session")
def newer_tree() -> Path:
    """A tree of 14.0 or later, which has KMSAN as well."""
    named = os.environ.get("HARNESS_NEWER_SOURCE")
    if named is None:
        pytest.skip("no newer tree: set HARNESS_NEWER_SOURCE to one of 14.0 or later")
    return Path(named)
