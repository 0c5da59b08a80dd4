"""How a night begins: a new one, or the rest of one that was killed."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness import __version__
from harness.errors import InfraError
from harness.nightly.news import places_in_words
from harness.nightly.night import Night, NightState
from harness.nightly.plan import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.nightly.cells import NightCell
    from harness.nightly.result import Slot
    from harness.runs.environment import Environment
    from harness.runs.nights.openplan import OpenPlan
    from harness.runs.nights.sources import NightSources
    from harness.runs.view import View


@dataclass(frozen=True, slots=True)
class NightBeginning:
    """Begins nights; see ``NightRun``."""

    opened: OpenPlan
    env: Environment
    view: View
    budget: float | None
    since: str | None

    def resumed(self) -> Night | None:
        """Return the night that was killed; None if the last one ended."""
        last = self.opened.reader.last()
        if last is None or last.state is not NightState.RUNNING:
            return None
        names = {branch.name for branch in self.opened.branches}
        if {branch.name for branch in last.branches} != names:
            now = self.env.clock.now()
            stopped = replace(
                last, state=NightState.STOPPED, ended=now, exit_code=InfraError.exit_code,
                notes=(*last.notes, "it was killed, and the plan has other branches now"),
            )  # fmt: skip
            self.opened.store.finish(stopped, (), (), ())
            return None
        self.view.note(f"going on with night {last.number}, which was killed")
        changed = _about_cells(self.opened.reader.cells(last.number), self.opened.cells)
        if changed:
            told = [f"{each} since it was killed" for each in changed]
            last = replace(last, notes=(*last.notes, *told))
            self.opened.store.replan(last, [cell.document() for cell in self.opened.cells])
        return last

    def new(self, sources: NightSources) -> Night:
        """Return the night that begins; it is not stored."""
        plan, reader = self.opened.plan, self.opened.reader
        branches, revisions, notes = sources.night(self.opened.branches, reader, self.since)
        tips = [known for each in self.opened.branches if (known := reader.judged_tip(each.name))]
        compared = max((number for number, _ in tips), default=None)
        return Night(
            plan=plan.name,
            number=0,
            state=NightState.RUNNING,
            started=self.env.clock.now(),
            compared_with=compared,
            version=__version__,
            host=platform.node(),
            command=self.env.command,
            budget=self._budget(),
            notes=(*notes, *self._about_missed(compared), *self._about_plan(compared)),
            branches=branches,
            revisions=revisions,
        )

    def begun(self, night: Night) -> Night:
        """Store a night that begins; return it with its number."""
        cells = [cell.document() for cell in self.opened.cells]
        return self.opened.store.begin(night, cells, seconds_of(self.opened.plan.every))

    def _budget(self) -> float | None:
        if self.budget is not None:
            return self.budget
        budget = self.opened.plan.budget
        return None if budget is None else seconds_of(budget)

    def _about_missed(self, compared: int | None) -> list[str]:
        if compared is None:
            return ["it is the first night that is judged: everything that fails is new"]
        last = self.opened.reader.last()
        if last is not None and last.number != compared:
            return [f"it is compared with night {compared}, the last that was judged"]
        return []

    def _about_plan(self, compared: int | None) -> list[str]:
        if compared is None:
            return []
        before = self.opened.reader.cells(compared)
        return [
            f"{each} since night {compared}" for each in _about_cells(before, self.opened.cells)
        ]


def _about_cells(before: Iterable[Slot], now: Iterable[NightCell]) -> list[str]:
    """Return what changed in the cells of a plan."""
    old, new = set(before), {cell.slot for cell in now}
    changes = ((sorted(new - old), "added to"), (sorted(old - new), "removed from"))
    return [
        f"{places_in_words(slots)} {'was' if len(slots) == 1 else 'were'} {verb} the plan"
        for slots, verb in changes if slots
    ]  # fmt: skip
