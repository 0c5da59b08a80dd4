"""A search without a model: what is known of a tree does not hide what a change of it breaks."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.check.channel import GuestGone
from harness.check.checker import CheckPlan
from harness.host.clock import HostClock
from harness.host.progress import Recorded
from harness.onhost.ending import EndingKind, HostEnding
from harness.onhost.hunt import Hunt
from harness.onhost.huntedprogram import HuntedProgram
from harness.subsystems.table import find_subsystem
from harness.subsystems.zones.generate import Generator
from harness.subsystems.zones.simpler import simpler
from harness.subsystems.zones.trace import Trace, ZoneLayout

MACHINE = ZoneLayout((0, 1), 2)
CACHED = HostEnding(EndingKind.INVARIANT, "cached-domain: an item of domain 1", ("run_alloc",))
"""What the untouched tree shows where a trace has M_USE_RESERVE."""


class FakeSubject:
    """Ends at traces of which ``broken`` holds."""

    left_out: tuple[str, ...] = ()

    def __init__(self, broken: Callable[[Trace], bool], counted: Callable[[], None]) -> None:
        self._broken, self._counted = broken, counted

    def random_trace(self, rng: random.Random) -> Trace:
        return Generator(rng, MACHINE).trace()

    def run(self, trace: Trace) -> None:
        for _ in trace.operations:
            self._counted()
        if self._broken(trace):
            raise GuestGone("broken")

    def run_again(self, trace: Trace, *, closely: bool) -> None:
        self.run(trace)

    def simpler(self, trace: Trace) -> Iterator[Trace]:
        return simpler(trace)


@dataclass(slots=True)
class FakeProgram(HuntedProgram):
    """A program whose copies end by ``CACHED``."""

    broken: Callable[[Trace], bool] = bool

    @contextlib.contextmanager
    def copied(self) -> Iterator[Any]:
        yield self.subject()

    def subject(self) -> Any:
        return FakeSubject(self.broken, self.counted)

    def ending(self, ended: Exception) -> HostEnding:
        return CACHED


def program(broken: Callable[[Trace], bool]) -> HuntedProgram:
    identity = SimpleNamespace(key="k", sources="s", compiler="c", optimisation="-O0", shimmed=())
    runner = cast("Any", SimpleNamespace(program=SimpleNamespace(identity=identity)))
    return FakeProgram(cast("Any", None), runner, HostClock(), broken=broken)


def hunted(changed: Callable[[Trace], bool], base: Callable[[Trace], bool] | None) -> Hunt:
    held = find_subsystem("zones").held_to({})
    plan = CheckPlan(held, 20_000, 1)
    below = program(base) if base is not None else None
    hunt = Hunt(plan, program(changed), lambda: below, HostClock(), Recorded())
    hunt.run()
    return hunt


def uses_reserve(trace: object) -> bool:
    return "M_USE_RESERVE" in str(trace)


def drains(trace: object) -> bool:
    return "drain-cpu" in str(trace)


def test_a_known_case_of_an_untouched_tree_fails_nothing() -> None:
    (found,) = hunted(uses_reserve, None).findings.values()
    assert found.known == "bucket-domain"


def test_a_known_case_that_the_base_shows_too_is_not_the_change_s() -> None:
    (found,) = hunted(uses_reserve, uses_reserve).findings.values()
    assert found.known == "bucket-domain"


@pytest.mark.parametrize("both", [False, True])
def test_a_change_that_breaks_what_a_known_case_breaks_is_found(*, both: bool) -> None:
    def broken(trace: Trace) -> bool:
        return drains(trace) or (both and uses_reserve(trace))

    hunt = hunted(broken, uses_reserve)
    (new,) = (found for found in hunt.findings.values() if not found.known)
    assert new.trace is not None
    assert drains(new.trace)
    assert not uses_reserve(new.trace)
    assert hunt.shortest == new.trace


def test_a_new_finding_that_shows_again_and_again_ends_the_search() -> None:
    hunt = hunted(lambda trace: not uses_reserve(trace), None)
    assert max(found.times for found in hunt.findings.values()) == 50
