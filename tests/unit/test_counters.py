"""What is far off in a guest's report, and what contradicts itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.console.report import GuestReport
from harness.subsystems.uma.counters import Usual, slabs_of
from harness.subsystems.uma.zonereport import ReportedZones, ZoneDomain, ZoneReport

DOMAINS = st.lists(
    st.builds(ZoneDomain, st.integers(5, 9), st.integers(8, 20), st.integers(0, 2)),
    min_size=1, max_size=4,
)  # fmt: skip


def report(*domains: ZoneDomain) -> GuestReport:
    zone = ZoneReport(2, 4, dict(enumerate(domains)))
    told = {"uma": ReportedZones({"Z": zone})}
    return GuestReport(
        "FreeBSD", "13.2", 1302001, "X", len(domains), {}, {}, {}, {}, subsystems=told
    )


@pytest.mark.parametrize("pages", [16, 20, 24, 9])
def test_a_counter_near_what_was_seen_is_right(pages: int) -> None:
    usual = Usual.of([report(ZoneDomain(16, 9, 0)), report(ZoneDomain(18, 9, 0))])
    assert usual.differences(report(ZoneDomain(pages, 9, 0))) == set()


@pytest.mark.parametrize("pages", [28, 6])
def test_one_that_is_far_off_is_named_with_what_was_seen(pages: int) -> None:
    usual = Usual.of([report(ZoneDomain(16, 9, 0)), report(ZoneDomain(18, 9, 0))])
    assert usual.differences(report(ZoneDomain(pages, 9, 0))) == {
        "Z domain 0 pages: far from 16 to 18"
    }


def test_one_slab_more_or_less_is_never_far() -> None:
    usual = Usual.of([report(ZoneDomain(1, 0, 0))])
    assert usual.differences(report(ZoneDomain(2, 4, 1))) == set()


def test_a_zone_that_is_not_told_of_differs() -> None:
    usual = Usual.of([report(ZoneDomain(5, 9, 1), ZoneDomain(5, 9, 1))])
    assert "Z domain 1 pages: missing" in usual.differences(report(ZoneDomain(5, 9, 1)))


def test_counters_that_contradict_each_other_are_wrong_in_any_kernel() -> None:
    nothing = Usual({})
    assert nothing.differences(report(ZoneDomain(1, 5, 0))) == {
        "Z domain 0: more free items than items"
    }
    assert nothing.differences(report(ZoneDomain(3, 7, 2))) == {
        "Z domain 0: more items in free slabs than free items"
    }


def test_slabs_are_told_by_domain() -> None:
    told = report(ZoneDomain(1, 2, 0), ZoneDomain(3, 2, 0))
    assert slabs_of(told, "Z") == (1, 3)
    assert slabs_of(told, "Y") is None


@given(st.lists(DOMAINS, min_size=1, max_size=4))
def test_no_report_differs_from_those_that_it_is_one_of(boots: list[list[ZoneDomain]]) -> None:
    reports = [report(*domains) for domains in boots]
    usual = Usual.of(reports)
    assert all(not usual.differences(told) for told in reports)
