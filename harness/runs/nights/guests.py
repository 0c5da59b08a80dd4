"""The guests of a night's cells, and what of a plan cannot be run at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import UsageError, did_you_mean, given_with
from harness.host.progress import Recorded
from harness.image.media import BootMethod
from harness.image.recipe import kernel_environment
from harness.outcome import Outcome, Until
from harness.provide.sources import BUILT_IN_TITLE
from harness.runs.checkplans import subsystem_of
from harness.runs.guests import GuestRequest, Guests
from harness.runs.worlds import world_for
from harness.sanitizers import parse_sanitizers
from harness.subsystems.table import SUBSYSTEMS, find_mutant
from harness.world.config import WorldKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.boot.plan import BootPlan
    from harness.nightly.cells import NightCell
    from harness.runs.environment import Environment
    from harness.runs.nights.kernels import NightKernels
    from harness.runs.view import View


@dataclass(frozen=True, slots=True)
class NightGuests:
    """Returns the guests of cells.

    Args:
        env: the host.
        view: shows warnings about guests.
        kernels: the kernels of the night.
    """

    env: Environment
    view: View
    kernels: NightKernels
    _plans: dict[tuple[str, str, bool, bool], tuple[Guests, BootPlan]] = field(default_factory=dict)

    def plan(
        self, cell: NightCell, *, trusted: bool = False, loader: bool = False
    ) -> tuple[Guests, BootPlan]:
        """Return the guests of a cell, and the plan of its boots.

        Args:
            cell: the plan's cell.
            trusted: see ``NightTask``.
            loader: see ``NightTask``.

        Raises:
            UsageError: its vm file or its numbers are invalid.
        """
        key = cell.slot.branch, cell.slot.cell, trusted, loader
        if key not in self._plans:
            what = self.kernels.request(cell, "")
            request = guest_request_of(cell, trusted=trusted, loader=loader)
            guests = Guests.of(self.env, self.view, request, what)
            sanitizers = guests.sanitizers(parse_sanitizers(cell.sanitizers))
            topology = guests.topology(sanitizers, "nightly")
            checked = cell.kind == "check"
            plan = guests.plan(
                topology, sanitizers, goes_on=checked, checked=checked, restored=bool(cell.world)
            )
            self._plans[key] = guests, plan
        return self._plans[key]

    def refuse_impossible(self, cells: Iterable[NightCell]) -> None:
        """Check, before anything runs, that each cell can have a kernel and a guest.

        Raises:
            UsageError: one cannot: its mutant or its outcomes, its subsystem, its world, its vm
                file, its tunables or its boot method.
        """
        for cell in cells:
            with given_with(f"{cell.kind} {cell.slot.cell} of {cell.slot.branch}"):
                self._refuse_impossible(cell)

    def _refuse_impossible(self, cell: NightCell) -> None:
        if cell.mutant:
            find_mutant(cell.mutant)
        names = [each.name for each in SUBSYSTEMS]
        if cell.subsystem and cell.subsystem not in names:
            hint = did_you_mean(cell.subsystem, names) or f"there are {', '.join(names)}"
            raise UsageError(f"there is no subsystem {cell.subsystem!r}", remedy=hint.strip())
        for each in cell.outcomes:
            if each not in set(Outcome):
                hint = did_you_mean(each, list(Outcome)) or f"there are {', '.join(Outcome)}"
                raise UsageError(f"there is no outcome {each!r}", remedy=hint.strip())
        kernel_environment(cell.tunables)
        branches = self.kernels.branches
        if branches[cell.slot.branch].tip or not any(each.tip for each in branches.values()):
            self.plan(cell)
        if not branches[cell.slot.branch].tip:
            return  # it was never fetched, or is gone
        revisions = self.kernels.revisions(cell)
        if cell.world:
            self._refuse_world(cell, (revisions or self.kernels.provider(cell)).title)
        if cell.subsystem:
            subsystem_of(cell.subsystem, revisions or self.kernels.provider(cell))
        if revisions is None and cell.mutant not in ("", *self.kernels.provider(cell).mutants):
            raise UsageError(
                f"{self.kernels.provider(cell).title} has no mutant {cell.mutant!r}",
                remedy=f"it has {', '.join(self.kernels.provider(cell).mutants)}",
            )

    def _refuse_world(self, cell: NightCell, title: str) -> None:
        if title == BUILT_IN_TITLE:
            raise UsageError(
                f"{title} is not FreeBSD, and has no userland for {cell.command!r}",
                remedy="name the trees of FreeBSD that run it: trees = [...]",
            )
        if cell.world not in {kind.value for kind in WorldKind}:
            world_for(self.kernels.request(cell, ""), cell.world, self.env, Recorded())


def guest_request_of(
    cell: NightCell, *, trusted: bool = False, loader: bool = False
) -> GuestRequest:
    """Return the request for a cell's guests; see ``NightTask``."""
    return GuestRequest(
        numa=cell.numa,
        vm=cell.vm,
        method=BootMethod.LOADER.value if loader else cell.method,
        accelerator="tcg" if trusted else cell.accelerator,
        until=Until.SSH if cell.world else Until(cell.until),
        timeout=cell.timeout,
        tunables=cell.tunables,
        fail_on_report=cell.fail_on_report,
        world=cell.world or None,
    )
