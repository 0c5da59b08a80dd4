"""Traces of zones: their text, their errors, and simpler ones."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.onhost.schedules import Schedule
from harness.subsystems.table import SUBSYSTEMS, subsystem_of_trace
from harness.subsystems.zones.cases import ZONES_CASES, known_cases
from harness.subsystems.zones.generate import Generator
from harness.subsystems.zones.generatethreads import with_threads
from harness.subsystems.zones.invariants import HARMLESS, INVARIANTS
from harness.subsystems.zones.operations import (
    MOST_THREADS,
    with_cpus,
    with_items_in_order,
    with_thread,
)
from harness.subsystems.zones.simpler import simpler
from harness.subsystems.zones.trace import ZoneLayout, parse_trace
from harness.subsystems.zones.zone import illegal

MACHINE = ZoneLayout((0, 0, 1, 2), 3, frozenset({1}))


@given(st.integers(0, 1 << 32), st.booleans())
def test_a_random_trace_is_read_back_as_it_was_written(seed: int, preempts: bool) -> None:
    trace = Generator(random.Random(seed), MACHINE, preempts=preempts).trace()
    assert preempts or not trace.has_gaps
    assert parse_trace(str(trace)) == trace
    assert not any(illegal(zone) for zone in trace.zones)


@given(st.integers(0, 1 << 32))
def test_a_simpler_trace_is_a_trace_of_as_many_operations(seed: int) -> None:
    trace = Generator(random.Random(seed), MACHINE, preempts=True).trace().head(12)
    for each in simpler(trace):
        assert parse_trace(str(each)) == each
        assert len(each) == len(trace)
        assert each != trace


def test_an_operation_is_preempted_only_by_one_in_its_middle() -> None:
    head = "zones domains=2 cpus=0,1\nzone1 size=96\n"
    preempted = head + "free item=1 cpu=0 meanwhile move cpu=1 gap=2\n"
    assert parse_trace(preempted).has_gaps
    assert "gap" not in str(next(each for each in simpler(parse_trace(preempted))
                                 if "move cpu=1\n" in str(each)))  # fmt: skip
    with pytest.raises(UsageError, match="gap"):
        parse_trace(head + "free item=1 cpu=0 gap=2\n")


@given(st.integers(0, 1 << 32))
def test_a_random_trace_with_threads_is_read_back_as_it_was_written(seed: int) -> None:
    trace = with_threads(random.Random(seed), MACHINE)
    assert trace.is_concurrent
    assert 2 <= len(trace.threads) <= MOST_THREADS
    assert len(trace.alone) + sum(map(len, trace.threads.values())) == len(trace)
    scheduled = replace(trace, schedule=Schedule(((3, 2), (17, 1)), accesses=bool(seed % 2)))
    for each in (trace, scheduled):
        assert parse_trace(str(each)) == each


@given(st.integers(0, 1 << 32))
def test_a_shorter_or_simpler_trace_with_threads_has_no_schedule(seed: int) -> None:
    trace = replace(with_threads(random.Random(seed), MACHINE), schedule=Schedule(((3, 2),)))
    assert trace.without(frozenset({0})).schedule is None
    assert trace.head(1).schedule is None
    for each in itertools.islice(simpler(trace), 30):
        assert parse_trace(str(each)) == each
        assert len(each) == len(trace)
        assert each.schedule is None or each.operations == with_items_in_order(trace.operations)


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = (Generator(random.Random("7/3"), MACHINE).trace() for _ in range(2))
    assert str(first) == str(second)


HEAD = "zones domains=2 cpus=0,1\nzone1 size=96\n"
#: A text, and words of the error that it gives.
REFUSED = {
    "alloc zone1 item=1 cpu=0 M_NOWAIT\n": "a trace begins with one line",
    "zones domains=2 cpus=0,1\n": "the trace has no zones",
    "zones domains=2 cpus=0,2\nzone1\n": "domains are numbered from 0 to 1",
    "zones domains=2 cpus=0,1 empty=0,1\nzone1\n": "no domain has memory",
    "zones domains=2 cpus=0,1 without=no-such\nzone1\n": "there is no invariant no-such",
    "zones domains=2 cpus=0,1\nzone1 colour=red\n": "a zone has no colour=red",
    "zones domains=2 cpus=0,1\nzone1 size=4\n": "a size at least 8",
    "zones domains=2 cpus=0,1\nzone1 nobucket maxbucket\n": "maxbucket with nobucket",
    "zones domains=2 cpus=0,1\nzone1 secondary=zone1\n": "needs a primary zone before it",
    f"{HEAD}alloc zone1 item=1 cpu=0\n": "either M_NOWAIT or M_WAITOK",
    f"{HEAD}alloc zone1 item=1 cpu=0 M_WAITOK|M_NOVM\n": "asserts against M_WAITOK with M_NOVM",
    f"{HEAD}alloc zone2 item=1 cpu=0 M_NOWAIT\n": "its zone does not exist",
    f"{HEAD}alloc zone1 item=1 cpu=7 M_NOWAIT\n": "no such cpu",
    f"{HEAD}refuse domain=5\n": "no such domain",
    f"{HEAD}alloc zone1 cpu=0 M_NOWAIT\n": "alloc needs item",
    f"{HEAD}free item=9999 cpu=0\n": "item is a number from 0 to 1023",
    f"{HEAD}explode zone1\n": "no operation",
    f"{HEAD}thread5: free item=1 cpu=0\n": "no operation",
    f"{HEAD}thread1: run-tasks\n": "cannot do that",
    f"{HEAD}migrate thread=1 cpu=0\n": "no thread to be moved",
    f"{HEAD}thread1: free item=1 cpu=0\nfree item=2 cpu=0\n": "threads come last",
    f"{HEAD}schedule thread1@3\n": "but no threads",
    f"{HEAD}thread1: free item=1 cpu=0\nschedule thread1@3 soon\n": "not soon",
    f"{HEAD}thread1: free item=1 cpu=0\nschedule\nthread1: free item=1 cpu=0\n": "last line",
    f"{HEAD}alloc zone1 item=1 cpu=0 M_NOWAIT meanwhile alloc zone1 item=2 cpu=0 M_WAITOK\n":
        "cannot be in the middle of another one",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_trace_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(UsageError, match=REFUSED[text]):
        parse_trace(text)


def test_a_trace_is_known_by_its_first_word() -> None:
    text = "# why\n" + HEAD + "free item=1 cpu=0  # nothing\n\n"
    assert subsystem_of_trace(text).name == "zones"
    assert len(parse_trace(text)) == 1
    for other in SUBSYSTEMS:
        assert other.has_written(text) is (other.name == "zones")


def test_cpus_of_another_machine_are_taken_domain_by_domain() -> None:
    other = ZoneLayout((0, 1, 2, 0, 1), 3)
    assert MACHINE.cpus_in(other) == {0: 0, 1: 3, 2: 1, 3: 2}
    assert with_cpus("2:f,3,1", {1: 3}) == "2:f,3,3"
    assert with_cpus("a0,1,1,,,2n;f,3,2", {1: 3, 2: 1}) == "a0,1,3,,,2n;f,3,1"
    assert with_thread("2:u,,1,,3", {2: 1, 3: 2}) == "1:u,,1,,2"
    with pytest.raises(KeyError):
        with_cpus("f,3,9", {0: 0})


def test_items_are_numbered_in_the_order_of_their_names() -> None:
    assert with_items_in_order(("a0,70,1n;f,9,0", "f,70,0")) == ("a0,1,1n;f,2,0", "f,1,0")


@pytest.mark.parametrize("case", ZONES_CASES, ids=lambda case: case.name)
def test_a_cases_trace_is_one_and_its_own_finding_is_known_by_it(case: object) -> None:
    trace = parse_trace(case.trace)  # type: ignore[attr-defined]
    assert str(trace) == case.trace  # type: ignore[attr-defined]


def test_a_finding_is_of_a_case_by_its_title_and_what_its_trace_has() -> None:
    title = "invariant: limit-count: N items count for the limit; N are in use and N cached"
    failing = "zone1 limit=4 ctor\nalloc zone1 item=1 cpu=0 fail=1 M_NOWAIT"
    assert [case.name for case in known_cases(title, failing)] == ["ctor-limit"]
    assert not known_cases(title, "zone1 limit=4\nalloc zone1 item=1 cpu=0 M_NOWAIT")


def test_what_a_search_may_leave_out_are_invariants() -> None:
    assert set(INVARIANTS) > HARMLESS
