"""Only time that QEMU had, or left unused, counts against a guest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.cputime import MOST_COUNTED, Excuse, GuestTime, patience, share_between
from harness.host.clock import ManualClock
from harness.host.procstat import Sample, Thread


def seen(at: float, *threads: Thread, **more: object) -> Sample:
    return Sample(at, threads=dict(enumerate(threads)), **more)  # type: ignore[arg-type]


ASLEEP = Thread("S", 0.0, 0.0)
READY = Thread("R", 0.0, 0.0)


@pytest.mark.parametrize(
    ("before", "after", "counted", "excuse"),
    [
        (seen(0), seen(10), 10.0, None),
        (seen(0, ASLEEP), seen(10, ASLEEP), 10.0, None),
        (seen(0, READY), seen(10, Thread("R", 10.0, 0.0)), 10.0, None),
        (seen(0, stopped=True), seen(10), 0.0, Excuse.STOPPED),
        (seen(0), seen(10, stopped=True), 0.0, Excuse.STOPPED),
        (seen(0), seen(10, frozen=True), 0.0, Excuse.FROZEN),
        (seen(0), seen(10, throttled=8.0), 2.0, Excuse.THROTTLED),
        (seen(0), seen(10, throttled=40.0), 0.0, Excuse.THROTTLED),
        (seen(0, ASLEEP), seen(10, Thread("S", 1.0, 4.0)), 6.0, Excuse.STARVED),
        (seen(0, ASLEEP), seen(10, Thread("S", 1.0, 9.0)), 1.0, Excuse.STARVED),
        (seen(0, READY), seen(10, READY), 0.0, Excuse.STARVED),
        (seen(0, READY), seen(10, Thread("R", 2.0, 0.0)), 2.0, Excuse.STARVED),
        (seen(0, ASLEEP), seen(10, Thread("S", 5.0, 30.0)), 5.0, Excuse.STARVED),
        (seen(0, Thread("D", 0, 0)), seen(10, Thread("D", 0, 0)), 0.0, Excuse.STARVED),
        (seen(0, ASLEEP, ASLEEP), seen(10, Thread("S", 1, 5), Thread("S", 1, 5)), 2.5,
         Excuse.STARVED),
        (seen(0, *[READY] * 8), seen(10, *[Thread("R", 2.5, 7.5)] * 8), 2.5, Excuse.STARVED),
        (seen(0), seen(10, Thread("S", 1.0, 5.0)), 5.0, Excuse.STARVED),
        (seen(5), seen(5), 0.0, None),
    ],
    ids=[
        "unknown", "halted guest", "spinning guest", "stopped first", "stopped last", "frozen",
        "throttled", "throttled on four CPUs", "waited a little", "waited most",
        "waits all the time", "waits at both ends", "waited longer before", "waits for the disk",
        "two threads in turn", "eight that spin on two CPUs", "new thread", "no time",
    ],
)  # fmt: skip
def test_time_counts_unless_the_host_withheld_it(
    before: Sample, after: Sample, counted: float, excuse: Excuse | None
) -> None:
    share = share_between(before, after)
    assert share.counted == pytest.approx(counted)
    assert set(share.excused) == ({excuse} if excuse else set())


threads = st.builds(Thread, st.sampled_from("RSDTI"), st.floats(0, 1e6), st.floats(0, 1e6))
samples = st.builds(
    Sample, st.floats(0, 1e6), st.booleans(), st.booleans(), st.floats(0, 1e6),
    st.dictionaries(st.integers(1, 9), threads, max_size=5),
)  # fmt: skip


@given(samples, samples)
def test_what_counts_and_what_does_not_make_up_the_time(before: Sample, after: Sample) -> None:
    share = share_between(before, after)
    assert 0 <= share.counted <= max(0.0, after.at - before.at) + 1e-6
    assert all(seconds >= 0 for seconds in share.excused.values())
    if after.at > before.at:
        whole = share.counted + sum(share.excused.values())
        assert whole == pytest.approx(after.at - before.at)


def looks(clock: ManualClock, time: GuestTime, seconds: float, every: float = 0.25) -> float:
    for _ in range(round(seconds / every)):
        clock.sleep(every)
        time.look()
    return time.look()


def test_a_quiet_host_counts_all_time() -> None:
    clock = ManualClock()
    time = GuestTime(clock, lambda: Sample(clock.monotonic()), 0.0)
    assert looks(clock, time, 10) == pytest.approx(10)
    assert time.figures() == ""


def test_where_the_host_shows_nothing_all_time_counts() -> None:
    clock = ManualClock()
    time = GuestTime(clock, lambda: None, 0.0)
    assert looks(clock, time, 10) == pytest.approx(10)


def test_a_harness_that_did_not_run_has_not_listened() -> None:
    clock = ManualClock()
    time = GuestTime(clock, lambda: Sample(clock.monotonic()), 0.0)
    clock.sleep(60)
    assert time.look() == pytest.approx(MOST_COUNTED)
    assert time.excused[Excuse.UNHEARD] == pytest.approx(60 - MOST_COUNTED)
    assert "the harness itself did not run for 59.5 s" in time.figures()


def test_a_slow_start_of_qemu_is_not_the_guests_time() -> None:
    clock = ManualClock()
    clock.sleep(40)
    time = GuestTime(clock, lambda: Sample(clock.monotonic()), 0.0)
    assert time.look() == pytest.approx(MOST_COUNTED)


def test_stops_are_excused_and_a_long_one_is_known_as_such() -> None:
    clock = ManualClock()
    stopped = False
    time = GuestTime(clock, lambda: Sample(clock.monotonic(), stopped=stopped), 0.0)
    looks(clock, time, 2)
    stopped = True
    assert looks(clock, time, 5) == pytest.approx(2)
    assert time.halted == pytest.approx(4.75)
    stopped = False
    # The look that sees it run again has not seen when it was continued.
    assert looks(clock, time, 3) == pytest.approx(4.75)
    assert time.halted == 0
    assert time.all_excused == pytest.approx(5.25)


def test_looks_that_follow_each_other_at_once_cost_nothing() -> None:
    clock = ManualClock()
    taken = []

    def sample() -> Sample:
        taken.append(clock.monotonic())
        return Sample(clock.monotonic())

    time = GuestTime(clock, sample, 0.0)
    for _ in range(100):
        clock.sleep(0.01)
        time.look()
    assert len(taken) <= 11


@pytest.mark.parametrize(("limit", "most"), [(10, 190), (240, 1200)])
def test_a_limit_waits_for_a_fair_share_but_not_for_ever(limit: float, most: float) -> None:
    assert patience(limit) == most
