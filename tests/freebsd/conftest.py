"""What tests on real FreeBSD share."""

from __future__ import annotations

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
