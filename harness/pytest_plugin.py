"""The pytest plugin: the fixtures ``guest``, ``kernel`` and ``topology``, and the marker ``guest``.

It is loaded by every pytest that can import the harness, so nothing else is imported before a test
asks for a guest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.plugin.guest import SharedGuest, SharedGuests, TestedKernel
    from harness.plugin.variants import GuestVariant

_VARIANT: Final = "harness_variant"
"""The fixture that is parametrised; those who override ``guest`` are left alone."""

_MARKER: Final = (
    "guest(numa, vm, sanitizer, source, rev, kernel, kernconf, patch, mutant, before_after, "
    "memory, cpus, tunables, fresh): the guests of the harness that the test runs on; "
    "lists of numa, vm and sanitizer, and before_after=True, run it on each"
)

_GUESTS = pytest.StashKey["SharedGuests"]()
_VARIANTS = pytest.StashKey[dict["GuestVariant", "GuestVariant"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options ``--harness-…``."""
    from harness.plugin.options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End all guests."""
    guests = config.stash.get(_GUESTS, None)
    if guests is not None:
        guests.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each guest that its markers name.

    Raises:
        pytest.Collector.CollectError: an argument is unknown or invalid.
    """
    if _VARIANT not in metafunc.fixturenames:
        return
    from harness.errors import UsageError
    from harness.plugin.options import guest_scope, option_values
    from harness.plugin.variants import variants_of

    config = metafunc.config
    markers = [(mark.args, mark.kwargs) for mark in metafunc.definition.iter_markers("guest")]
    try:
        variants = variants_of(markers, option_values(config))
    except UsageError as error:
        nodeid = metafunc.definition.nodeid
        raise pytest.Collector.CollectError(f"{nodeid}: guest: {error}") from error
    # Tests share what is the same object.
    known = config.stash.setdefault(_VARIANTS, {})
    metafunc.parametrize(
        _VARIANT,
        [known.setdefault(variant, variant) for variant in variants],
        ids=[variant.id for variant in variants],
        indirect=True,
        scope=guest_scope(config),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test fail whose guest failed while it did something else."""
    for guest in _alive(item):
        guest.begin_test()
    result = yield
    for guest in _alive(item):
        guest.require_alive()
    return result


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End a guest that no other test shall use."""
    for guest in _alive(item):
        if guest.variant.fresh:
            guest.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add verdict, frames and console of its guest to the report of a test that failed."""
    report = yield
    if not report.failed or call.excinfo is None:
        return report
    for guest in _alive(item):
        from harness.plugin.reports import failure_in, report_parts

        for part in report_parts(guest, failure_in(call.excinfo.value)):
            report.sections.append((part.title, part.text))
            item.user_properties.append((part.key, part.text))
            report.user_properties.append((part.key, part.text))
    return report


def _alive(item: pytest.Item) -> list[SharedGuest]:
    """Return the guests that exist and that a test uses."""
    guests = item.config.stash.get(_GUESTS, None)
    used = getattr(item, "funcargs", {}).values()
    return [guest for guest in guests.alive if guest in used] if guests is not None else []


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    from harness.plugin.options import guest_scope

    del fixture_name
    return guest_scope(config)


@pytest.fixture(scope=_scope)
def harness_variant(request: pytest.FixtureRequest) -> GuestVariant:
    """Which guest a test runs on."""
    if not hasattr(request, "param"):
        raise pytest.UsageError("a guest is requested by getfixturevalue(): name it as an argument")
    variant: GuestVariant = request.param
    return variant


@pytest.fixture(scope="session")
def harness_guests(request: pytest.FixtureRequest) -> SharedGuests:
    """The guests of this process."""
    from pathlib import Path

    from harness.plugin.guest import SharedGuests
    from harness.plugin.options import option_values
    from harness.runs.environment import Environment

    out = option_values(request.config).get("out")
    with _told():
        env = Environment.of_user(Path(out).absolute() if out else None)
    guests = request.config.stash[_GUESTS] = SharedGuests(env)
    return guests


@contextmanager
def _told() -> Iterator[None]:
    """Let a test fail with the words of an error, without a traceback through the harness."""
    __tracebackhide__ = True
    from harness.errors import HarnessError
    from harness.printable import printable_text

    try:
        yield
    except HarnessError as error:
        pytest.fail(printable_text(f"harness: {error}"), pytrace=False)


@pytest.fixture(scope=_scope)
def guest(harness_variant: GuestVariant, harness_guests: SharedGuests) -> Iterator[SharedGuest]:
    """A FreeBSD guest with NUMA nodes; it boots when it is first used."""
    with _told():
        planned = harness_guests.planned(harness_variant)
    with harness_guests.guest(harness_variant, planned) as each:
        yield each


@pytest.fixture(scope=_scope)
def kernel(guest: SharedGuest) -> TestedKernel:
    """The kernel of the test's guest."""
    return guest.kernel


@pytest.fixture(scope=_scope)
def topology(guest: SharedGuest) -> Topology:
    """The nodes of the test's guest."""
    return guest.topology
