"""The switch that rewrites the expected events: ``pytest tests/golden --rewrite-golden``."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        default=False,
        help="write what the parser says now as what is expected of each golden console",
    )


@pytest.fixture
def rewrite_golden(request: pytest.FixtureRequest) -> bool:
    """Whether to write the expectations instead of checking them."""
    return bool(request.config.getoption("rewrite_golden", default=False))
