"""Shrinking: what is left shows the same, and no single operation of it can go."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from harness.check.shrink import shrink
from harness.subsystems.uma.model.flags import M_NOWAIT
from harness.subsystems.uma.model.player import Operation, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.trace import Trace
from harness.subsystems.uma.model.variants import VARIANTS

ENOUGH = 10_000


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Allocations, lows, and frees of what was allocated before, each once."""
    operations: list[Operation] = []
    held: list[int] = []
    for number in range(1, draw(st.integers(1, 40)) + 1):
        kind = draw(st.sampled_from(["alloc", "low", "free"]))
        if kind == "free" and held:
            operations.append(Operation(Verb.FREE, held.pop(draw(st.integers(0, len(held) - 1)))))
        elif kind == "low":
            operations.append(Operation(Verb.LOW, draw(st.integers(0, 3))))
        else:
            meanwhile = draw(st.sampled_from([0, *held]))
            held = [other for other in held if other != meanwhile]
            domain = draw(st.integers(0, 3))
            operations.append(Operation(Verb.ALLOC, domain, M_NOWAIT, meanwhile=meanwhile))
            held.append(number)
    return Trace(VARIANTS["13-after"], Shape(4, 2), tuple(operations))


def is_sound(trace: Trace) -> bool:
    """Each item that is given back is of an allocation before it, and no two are the same."""
    operations = trace.operations
    freed = set()
    for place, operation in enumerate(operations):
        number = operation.number if operation.verb is Verb.FREE else operation.meanwhile
        if number:
            if number > place or operations[number - 1].verb is not Verb.ALLOC or number in freed:
                return False
            freed.add(number)
    return True


def asked(operations: Iterable[Operation]) -> list[Operation]:
    """All but what refers to others."""
    return [o._replace(meanwhile=0) for o in operations if o.verb is not Verb.FREE]


@given(traces(), st.sets(st.integers(0, 39)))
def test_a_free_still_names_its_allocation_or_goes_with_it(trace: Trace, dropped: set[int]) -> None:
    left = trace.without(frozenset(dropped))
    assert is_sound(left)
    kept = [o for place, o in enumerate(trace.operations) if place not in dropped]
    assert asked(left.operations) == asked(kept)


@given(traces())
def test_nothing_dropped_is_nothing_changed(trace: Trace) -> None:
    assert trace.without(frozenset()) == trace


@given(traces(), st.data())
def test_the_shortest_shows_it_and_no_single_operation_can_go(
    trace: Trace, data: st.DataObject
) -> None:
    verb = data.draw(st.sampled_from([operation.verb for operation in trace.operations]))
    most = sum(operation.verb is verb for operation in trace.operations)
    wanted = data.draw(st.integers(1, most))

    def shows(candidate: Trace) -> bool:
        return sum(operation.verb is verb for operation in candidate.operations) >= wanted

    shortest = shrink(trace, shows, ENOUGH)
    assert shows(shortest)
    assert not any(shows(shortest.without(frozenset([n]))) for n in range(len(shortest)))


@given(traces(), st.integers(0, 20))
def test_it_asks_no_more_often_than_it_may(trace: Trace, attempts: int) -> None:
    asked = []

    def shows(candidate: Trace) -> bool:
        asked.append(candidate)
        return False

    shrink(trace, shows, attempts)
    assert len(asked) <= attempts
