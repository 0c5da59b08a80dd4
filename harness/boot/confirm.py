"""Repeats a failed boot and decides its cell; ``repeats`` has the rules."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.cellplan import with_boot, with_client
from harness.boot.media import method_of
from harness.boot.plan import Sampling
from harness.boot.repeats import (
    Again,
    BootResult,
    BootSeen,
    Control,
    Counts,
    Unproven,
    Way,
    next_step,
    one_way_only,
    result_of,
)
from harness.debug.plan import NO_DEBUG
from harness.errors import HarnessError, InfraError
from harness.guest.accelerator_choice import (
    choose_accelerator,
    forget_accelerator,
    known_accelerator,
    slowness,
)
from harness.host.accelerator import Accelerator
from harness.host.workspace import host_error
from harness.image.media import BootMethod, EfiDirectory
from harness.outcome import Ending, Outcome
from harness.results.record import Cell, Repeat

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.boot.cellplan import CellPlan
    from harness.boot.evaluation import Booted
    from harness.boot.guestclient import JudgedClient
    from harness.boot.plan import BootPlan
    from harness.guest.backend import Backend
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.verdict import Verdict

#: Factor from the user's ``--timeout`` to a repeat's limit: the host may still be busy.
_PATIENCE = 2.0

#: Seconds added for firmware and loader if the first boot had none.
_LOADER_SECONDS = 60.0


@dataclass(slots=True)
class Confirmation:
    """The repeats of one boot.

    Args:
        plan: how it was booted.
        kernel: its kernel.
        booter: boots the repeats.
        directory: the cell's directory; each repeat gets a subdirectory.
        progress: shows each repeat.
        others: kernels that can serve as a control, tried before the built-in guest.
    """

    plan: CellPlan
    kernel: KernelArtifact
    booter: Booter
    directory: Path
    progress: Progress
    others: Sequence[KernelArtifact] = ()
    _boots: list[_Boot | None] = field(default_factory=list)
    _told: list[Repeat] = field(default_factory=list)

    def of(self, cell: Cell, booted: Booted) -> Cell:
        """Repeat a failed boot as often as needed, and return its cell.

        Args:
            cell: the first boot's cell.
            booted: the first boot.
        """
        boot = _Boot(booted, self.plan.client)
        self._boots.append(boot)
        first = self._first_way()
        seen = [BootSeen(first, boot.result, boot.shown.outcome)]
        methods = self._methods(booted.ending)
        control: bool | None = None
        while True:
            step = next_step(
                seen, methods, loadable=self.kernel.identity.is_freebsd,
                sampling=self.plan.sampling, control=control,
            )  # fmt: skip
            match step:
                case Again(way):
                    self._say(f"{boot.shown.outcome} {first}; booting again {way}")
                    seen.append(self._again(way))
                case Control():
                    control = self._control()
                case Counts() | Unproven():
                    return self._concluded(cell, boot, step)

    def _methods(self, ending: Ending) -> tuple[BootMethod, ...]:
        """The methods that can boot this kernel again; none if a user works with the guest."""
        kept = self.plan.boot.keep and ending not in (Ending.EXITED, Ending.RESET)
        looked_at = kept and self.plan.sampling is Sampling.SINGLE
        if looked_at or self.booter.terminal is not None:
            return ()
        return startable(self.kernel, self.booter.backend)

    def _again(self, way: Way) -> BootSeen:
        stem = f"again-{way.accelerator}-{way.method}"
        client = self.plan.client
        again = client.again(self._slower()) if client else None
        boot = self._boot("repeat", stem, self.kernel, self._repeat(way), again)
        self._boots.append(boot)
        if boot is None:
            return BootSeen(way, BootResult.NOTHING)
        return BootSeen(way, boot.result, boot.shown.outcome)

    def _control(self) -> bool:
        """Return whether another kernel boots on this host."""
        for kernel in self._controls():
            methods = startable(kernel, self.booter.backend)
            if not methods:
                continue
            plan = self._repeat(Way(self._first_way().trusted, methods[0]))
            if not kernel.identity.is_freebsd:
                plan = replace(plan, tunables={})
            self._say(f"no banner; booting another kernel, {kernel.identity.label}, to compare")
            boot = self._boot("control", "control", kernel, plan)
            if boot is not None and boot.result is BootResult.BOOTED:
                return True
        return False

    def _controls(self) -> Iterator[KernelArtifact]:
        yield from self.others[:1]
        from harness.provide.embedded import control_kernels

        booter = self.booter
        try:
            for kernel in control_kernels(booter.workspace, booter.runner, self.progress):
                if kernel.identity.key != self.kernel.identity.key:
                    yield kernel
                    return
        except HarnessError as error:
            self._say(f"no built-in guest to compare with: {error.message}")

    def _first_way(self) -> Way:
        return Way(self.plan.boot.accelerator, self._method(self.kernel))

    def _method(self, kernel: KernelArtifact) -> BootMethod:
        return method_of(kernel.identity, self.plan.boot.method)

    def _slowness(self) -> float:
        """TCG's slowness, at least the first boot's."""
        if self._first_way().trusted is not Accelerator.TCG:
            return self.plan.boot.slowness
        known = known_accelerator(self.booter.workspace)
        return max(self.plan.boot.slowness, slowness(Accelerator.TCG, known))

    def _slower(self) -> float:
        return self._slowness() / self.plan.boot.slowness

    def _repeat(self, way: Way) -> BootPlan:
        """Boot again in another way; slower ways get a longer limit."""
        more = _LOADER_SECONDS if way.method is not self._method(self.kernel) else 0.0
        timeout, longest = (
            None if limit is None else _PATIENCE * self._slower() * limit + more
            for limit in (self.plan.boot.timeout, self.plan.boot.longest)
        )
        return replace(
            self.plan.boot, accelerator=way.accelerator, slowness=self._slowness(),
            method=way.method, timeout=timeout, longest=longest, keep=False,
            debug=NO_DEBUG, snapshot=False,
        )  # fmt: skip

    def _boot(
        self,
        purpose: str,
        stem: str,
        kernel: KernelArtifact,
        plan: BootPlan,
        client: JudgedClient | None = None,
    ) -> _Boot | None:
        number = sum(told.name.startswith(stem) for told in self._told) + 1
        name = stem if number == 1 else f"{stem}-{number}"
        told = Repeat(
            name, purpose, kernel.identity.label, plan.accelerator.value, plan.method.value
        )
        try:
            booted = self.booter.boot(
                f"{self.plan.name[:60]}-{name}", kernel,
                replace(plan, client=client.into(self.directory / name) if client else None),
                self.directory / name, self.progress,
            )  # fmt: skip
        except HarnessError as error:
            self._told.append(replace(told, error=error.message))
            return None
        except OSError as error:
            self._told.append(replace(told, error=str(host_error(error))))
            return None
        boot = _Boot(booted, client)
        verdict = boot.shown if boot.result is BootResult.EARLY else booted.verdict
        self._told.append(replace(told, outcome=verdict.outcome.value, title=verdict.title,
                                  seconds=round(verdict.seconds, 3)))  # fmt: skip
        return boot

    def _concluded(self, cell: Cell, first: _Boot, step: Counts | Unproven) -> Cell:
        cell = replace(cell, repeats=tuple(self._told))
        if isinstance(step, Counts):
            counting = self._boots[step.index] or first
            cell = with_boot(
                cell, counting.booted, counting.shown, self.plan.with_client(counting.client)
            )
            return replace(cell, opinion=step.why)
        if self.plan.boot.accelerator is Accelerator.KVM:
            forget_accelerator(self.booter.workspace)
        if cell.host_failed and first.result is BootResult.NOTHING:
            return cell
        against = ""
        if self.plan.sampling is Sampling.REPEATED and first.result is BootResult.FAILED:
            against = self._against_kvm()
            if not against:
                return replace(cell, opinion=step.why, unrepeated=True)
        why = f"{step.why}; {against}" if against else step.why
        return replace(cell, verdict=unverified(first.shown, why), opinion=why)

    def _against_kvm(self) -> str:
        """Measure KVM again; return why it is ruled out, or empty."""
        if self.plan.boot.accelerator is not Accelerator.KVM:
            return ""
        workspace, runner, clock = self.booter.workspace, self.booter.runner, self.booter.clock
        self._say("measuring KVM again")
        try:
            choice = choose_accelerator(workspace, runner, clock, refresh=True)
        except InfraError as error:
            return error.message
        return choice.reason if choice.final and choice.accelerator is Accelerator.TCG else ""

    def _say(self, text: str) -> None:
        self.progress.note(f"{self.plan.name}: {text}")


@dataclass(frozen=True, slots=True)
class _Boot:
    """A boot with its client."""

    booted: Booted
    client: JudgedClient | None

    @property
    def shown(self) -> Verdict:
        return with_client(self.booted.shown, self.client)

    @property
    def result(self) -> BootResult:
        return result_of(self.shown, self.booted.ending, self.booted.verification)


def startable(kernel: KernelArtifact, backend: Backend) -> tuple[BootMethod, ...]:
    """Return the methods by which a backend can boot a kernel, the loader first."""
    methods = [BootMethod.DIRECT]
    if kernel.identity.is_freebsd and kernel.loader is not None:
        with contextlib.suppress(InfraError):
            backend.firmware(EfiDirectory(kernel.loader.parent))
            methods.insert(0, BootMethod.LOADER)
    return tuple(method for method in methods if method in backend.methods)


def unverified(verdict: Verdict, why: str) -> Verdict:
    """Return the verdict on a failure that does not count against the kernel."""
    title = f"{verdict.outcome}: {verdict.title}; {why}"
    return replace(verdict, outcome=Outcome.UNVERIFIED, title=title)


def settled(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells of ``--repeat`` after all have booted.

    A failure that did not repeat counts as seen once. If chance does not explain the failures, the
    accelerator or the direct start is to blame: ``unverified``.
    """
    groups: defaultdict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        if not cell.host_failed:
            groups[cell.sample_of].append(cell)
    return tuple(_settled(cell, groups[cell.sample_of]) for cell in cells)


def _settled(cell: Cell, group: Sequence[Cell]) -> Cell:
    verdict = cell.verdict
    if verdict is None or not cell.unrepeated:
        return cell
    alike = [one for one in group if one.verdict and one.verdict.outcome is verdict.outcome]
    if any(not one.unrepeated for one in alike) or not one_way_only(len(group), len(alike)):
        return cell
    why = f"{len(alike)} of {len(group)} times; {cell.opinion}"
    return replace(cell, verdict=unverified(verdict, why), unrepeated=False)
