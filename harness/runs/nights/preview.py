"""What a night would run, how long by the history, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.runs.guests import most_guests
from harness.runs.nights.guests import NightGuests
from harness.runs.nights.kernels import NightKernels
from harness.runs.nights.nightrun import expected_seconds
from harness.runs.nights.openplan import NightRequest, OpenPlan, open_plan
from harness.runs.nights.sources import NightSources
from harness.runs.view import Unseen, View

if TYPE_CHECKING:
    from harness.nightly.night import BranchNight, RevisionNight
    from harness.runs.environment import Environment


@dataclass(frozen=True, slots=True)
class PreviewedRevision:
    """A revision that a night would test.

    Args:
        revision: the revision.
        cells: the number of boots and checks.
        seconds: expected duration, without builds.
        why: why it is tested.
    """

    revision: RevisionNight
    cells: int
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class NightPreview:
    """What a night would run.

    Args:
        opened: the plan.
        branches: its branches.
        revisions: the revisions in the order in which they are tested.
        controls: the number of negative controls.
        notes: sentences about the comparison.
    """

    opened: OpenPlan
    branches: tuple[BranchNight, ...]
    revisions: tuple[PreviewedRevision, ...]
    controls: int
    notes: tuple[str, ...]


def preview(request: NightRequest, env: Environment, view: View | None = None) -> NightPreview:
    """Return what a night would run; nothing is built or booted, but a URL is fetched.

    Raises:
        UsageError: the plan is invalid, a branch does not exist, or a cell cannot be run at all.
        InfraError: the history cannot be read.
    """
    opened = open_plan(request, env)
    reader = opened.reader
    view = view or Unseen()
    sources = NightSources(env, view)
    branches, revisions, notes = sources.night(opened.branches, reader, request.since)
    kernels = NightKernels.of(env, view, sources, opened.branches, branches)
    NightGuests(env, view, kernels).refuse_impossible(opened.cells)
    bases = {branch.name: branch.base for branch in branches}
    found = []
    for each in sorted(revisions, key=lambda each: (each.rank, each.branch)):
        cells = [
            cell for cell in opened.cells
            if cell.slot.branch == each.branch
            and cell.kind != "control"
            and not (each.rank and cell.at_tips_only)
        ]  # fmt: skip
        times = {cell.slot: cell.repeat if each.rank else cell.at_tip for cell in cells}
        boots = [slot for slot, count in times.items() for _ in range(count)]
        seconds = expected_seconds(reader, boots)
        why = _why(each, bases[each.branch])
        found.append(PreviewedRevision(each, len(boots), seconds / most_guests(), why))
    controls = sum(cell.kind == "control" for cell in opened.cells)
    return NightPreview(opened, branches, tuple(found), controls, notes)


def _why(revision: RevisionNight, base: str) -> str:
    if revision.rank == 0:
        return "the tip is tested every night"
    return f"new since {base[:12]}; it halves a gap between tested revisions"
