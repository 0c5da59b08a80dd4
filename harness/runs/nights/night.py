"""Runs a night of a plan: what is new is tested, judged, and stored with its news."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import InfraError, UsageError
from harness.runs.nights.nightrun import NightRun
from harness.runs.nights.openplan import (
    NightRequest,
    OpenPlan,
    night_lock,
    open_plan,
    refuse_second,
)
from harness.runs.nights.tell import deliver, delivery_lines
from harness.runs.view import Unseen, View

if TYPE_CHECKING:
    from pathlib import Path

    from harness.nightly.night import JudgedNight
    from harness.runs.environment import Environment


@dataclass(frozen=True, slots=True)
class NightResult:
    """Result of a night.

    Args:
        judged: the night, as the history has it.
        history: place of the history.
        directory: directory of its last record; None if nothing was to be run.
        index: the index of its pages; None if none were written.
        unwritten: why its pages could not be written.
    """

    judged: JudgedNight
    history: str
    directory: Path | None = None
    index: Path | None = None
    unwritten: str = ""

    @property
    def exit_code(self) -> int:
        """See ``harness.nightly.ending.exit_code``; pages that are missing are the host's fault."""
        missing = InfraError.exit_code if self.unwritten else 0
        return self.judged.night.exit_code or missing


def nightly(request: NightRequest, env: Environment, view: View | None = None) -> NightResult:
    """Run a night of a plan, or go on with the one that was killed.

    Raises:
        UsageError: the plan is invalid, a branch does not exist, a cell cannot be run at all, or
            the directory of the pages has others.
        InfraError: another night of the plan runs, the pages cannot be written, or the disk is
            full; what ran is stored.
    """
    view = view or Unseen()
    opened = open_plan(request, env)
    name = opened.plan.name
    with (
        env.workspace.lock(night_lock(name), refuse_second(name)),
        opened.database.lock(night_lock(name), f"runs a night of the plan {name}"),
    ):
        if opened.pages is not None:
            from harness.runs.nights.pages import begin_pages

            begin_pages(opened.pages)
        run = NightRun(opened, env, view, request.budget, request.since, request.silence)
        judged, directory = run.run()
        result = NightResult(judged, opened.database.place, directory)
        if opened.pages is not None:
            result = _with_pages(result, opened, opened.pages, view)
    for line in tell_night(opened, request.plan, env):
        view.warn(line)
    return result


def tell_night(opened: OpenPlan, plan: Path, env: Environment) -> list[str]:
    """Send the outbox of a plan; return sentences about what was not sent."""
    try:
        delivery = deliver(opened.plan, plan.resolve().parent, opened.outbox, env)
    except InfraError as error:
        return [f"the news stays in the outbox: {error.message}"]
    return list(delivery_lines(delivery, str(plan), again=False))


def _with_pages(result: NightResult, opened: OpenPlan, pages: Path, view: View) -> NightResult:
    """Write the pages of a night that is stored: if that fails, its news and exit code stay."""
    from harness.runs.nights.pages import night_pages

    try:
        return replace(result, index=night_pages(opened, pages))
    except (InfraError, UsageError) as error:
        view.warn(f"the night is stored, but not its pages: {error.message}")
        return replace(result, unwritten=error.message)
