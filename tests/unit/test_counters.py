"""Which counters are steady, and what in a guest's report is wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.check.counters import Steady, counters
from harness.console.report import GuestReport, Zone, ZoneDomain

DOMAINS = st.lists(
    st.builds(ZoneDomain, st.integers(5, 9), st.integers(8, 20), st.integers(0, 2)),
    min_size=1, max_size=4,
)  # fmt: skip


def report(*domains: ZoneDomain, reserve: int = 2) -> GuestReport:
    zone = Zone(reserve, 4, dict(enumerate(domains)))
    return GuestReport("FreeBSD", "13.2", 1302001, "X", len(domains), {}, {}, {}, {"Z": zone}, {})


def test_what_differs_between_boots_of_a_right_kernel_is_not_steady() -> None:
    steady = Steady.of([report(ZoneDomain(5, 8, 1)), report(ZoneDomain(5, 9, 1))])
    assert "Z domain 0 free items" not in steady.values
    assert steady.values["Z domain 0 pages"] == 5


def test_items_that_move_between_domains_leave_a_steady_sum() -> None:
    boots = [
        report(ZoneDomain(5, 8, 1), ZoneDomain(5, 10, 1)),
        report(ZoneDomain(5, 9, 1), ZoneDomain(5, 9, 1)),
    ]
    steady = Steady.of(boots)
    assert steady.values["Z free items"] == 18
    assert steady.differences(report(ZoneDomain(5, 10, 1), ZoneDomain(5, 8, 1))) == set()


def test_a_difference_names_zone_domain_counter_and_both_values() -> None:
    steady = Steady.of([report(ZoneDomain(5, 9, 1))])
    assert steady.differences(report(ZoneDomain(5, 9, 2))) == {"Z domain 0 free slabs: 2, not 1"}


def test_a_zone_that_is_not_told_of_differs() -> None:
    steady = Steady.of([report(ZoneDomain(5, 9, 1), ZoneDomain(5, 9, 1))])
    assert "Z domain 1 pages: not told, not 5" in steady.differences(report(ZoneDomain(5, 9, 1)))


def test_counters_that_contradict_each_other_are_wrong_in_any_kernel() -> None:
    nothing = Steady({})
    assert nothing.differences(report(ZoneDomain(1, 5, 0))) == {
        "Z domain 0: more free items than items"
    }
    assert nothing.differences(report(ZoneDomain(3, 7, 2))) == {
        "Z domain 0: more items in free slabs than free items"
    }


@given(DOMAINS)
def test_a_report_does_not_differ_from_itself(domains: list[ZoneDomain]) -> None:
    told = report(*domains)
    assert Steady.of([told]).differences(told) == set()
    assert Steady.of([told]).values == counters(told)


@given(st.lists(DOMAINS, min_size=1, max_size=4))
def test_what_boots_agree_on_differs_in_none_of_them(boots: list[list[ZoneDomain]]) -> None:
    reports = [report(*domains) for domains in boots]
    steady = Steady.of(reports)
    assert all(not steady.differences(told) for told in reports)
