"""On the built-in guest, the examples run in a home of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command import home_with_kernels


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "examples":
            item.add_marker("guest")


@pytest.fixture(scope="module", autouse=True)
def example_home(pytestconfig: pytest.Config) -> Iterator[None]:
    if pytestconfig.getoption("harness_source") != "embedded":
        yield  # kernels of a tree are built in the user's
        return
    with home_with_kernels() as home, pytest.MonkeyPatch.context() as patch:
        for name, value in home.env.items():
            patch.setenv(name, value)
        yield
