from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, chromium
from hostile_nights import HostileNights, hostile_nights


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> HostileNights:
    """Two nights with hostile guests and commits."""
    return hostile_nights(tmp_path_factory.mktemp("nights"), line=20_000)


@pytest.fixture(scope="session")
def hostile(nights: HostileNights) -> Path:
    """Their pages."""
    return nights.directory / "pages"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as found:
        yield found
