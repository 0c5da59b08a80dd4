"""Threads that are scheduled as those of a host program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.onhost.schedules import Switches, SwitchPoint


@dataclass
class Machine:
    """Threads that access objects, one after the other, as ``c/threads.c`` schedules them.

    A negative number is an atomic addition to the object.
    """

    threads: Mapping[int, Sequence[int]]

    def run(
        self, switches: Switches
    ) -> tuple[tuple[SwitchPoint, ...], tuple[tuple[int, int], ...]]:
        """The points of a run, and the accesses in their order."""
        told = dict(switches)
        left = {thread: list(objects) for thread, objects in self.threads.items()}
        points: list[SwitchPoint] = []
        done: list[tuple[int, int]] = []

        def passed(last: int, kind: str, accessed: int) -> int:
            """The thread that goes on at the next switch point."""
            able = sum(1 << (thread - 1) for thread, objects in left.items() if objects)
            point = SwitchPoint(last, able, 0, kind, accessed)
            chosen = told.get(len(points), point.usual)
            points.append(point)
            return chosen if able >> (chosen - 1) & 1 else point.usual

        running = passed(0, "o", 0)
        about_to: set[int] = set()
        while any(left.values()):
            if running not in about_to:
                about_to.add(running)
                before, running = (
                    running,
                    passed(running, "d" if left[running][0] < 0 else "l", abs(left[running][0])),
                )
                if running != before:
                    continue
            about_to.discard(running)
            done.append((running, left[running].pop(0)))
            if not left[running] and any(left.values()):
                running = passed(running, "e", 0)
        return tuple(points), tuple(done)
