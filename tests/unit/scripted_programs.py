"""Programs that end at traces of which a test says so."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from harness.check.channel import GuestGone
from harness.host.clock import HostClock
from harness.onhost.ending import EndingKind, HostEnding
from harness.onhost.huntedprogram import HuntedProgram
from harness.subsystems.zones.generate import Generator
from harness.subsystems.zones.simpler import simpler
from harness.subsystems.zones.trace import Trace, ZoneLayout, shape

MACHINE = ZoneLayout((0, 1), 2)
CACHED = HostEnding(EndingKind.INVARIANT, "cached-domain: an item of domain 1", ("run_alloc",))
"""What the untouched tree shows where a trace has M_USE_RESERVE."""


class ScriptedSubject:
    """Ends at the first operation with which ``broken`` holds of the trace."""

    def __init__(self, program: ScriptedProgram) -> None:
        self._program = program
        self.left_out: tuple[str, ...] = ()

    def random_trace(self, rng: random.Random) -> Trace:
        return replace(Generator(rng, MACHINE).trace(), left_out=self.left_out)

    def run(self, trace: Trace) -> None:
        broken, counted = self._program.broken, self._program.counted
        ends = broken(trace)
        for place in range(len(trace)):
            if ends and broken(trace.head(place + 1)):
                break
            counted()
        if ends:
            raise GuestGone("broken")

    def run_closely(self, trace: Trace) -> None:
        self.run(trace)

    def run_again(self, trace: Trace, *, closely: bool) -> None:
        self.run(trace)

    def simpler(self, trace: Trace) -> Iterator[Trace]:
        return simpler(trace)

    def shape(self, trace: Trace) -> frozenset[str]:
        return shape(trace)


@dataclass(slots=True)
class ScriptedProgram(HuntedProgram):
    """A program whose copies end by one ending."""

    broken: Callable[[Trace], bool] = bool
    by: HostEnding = CACHED

    @contextlib.contextmanager
    def copied(self) -> Iterator[Any]:
        yield self.subject()

    def subject(self) -> Any:
        return ScriptedSubject(self)

    def ending(self, ended: Exception) -> HostEnding:
        return self.by


def program(broken: Callable[[Trace], bool], by: HostEnding = CACHED) -> HuntedProgram:
    """A program that ends at traces of which ``broken`` holds."""
    identity = SimpleNamespace(
        key="k", sources="s", compiler="c", optimisation="-O0", shimmed=(), sanitizers=()
    )
    runner = cast("Any", SimpleNamespace(program=SimpleNamespace(identity=identity), layout=None))
    return ScriptedProgram(cast("Any", None), runner, HostClock(), broken=broken, by=by)
