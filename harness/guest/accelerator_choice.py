"""Chooses the accelerator for guests on this host by measurement, and caches the choice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import InfraError
from harness.guest.accelerator_probe import Patience, ProbeTrial, run_probe
from harness.host.accelerator import (
    KVM_DEVICE,
    Accelerator,
    acceleration_basis,
    kvm_refusal,
    qemu_version,
)
from harness.host.workspace import Workspace, write_atomic
from harness.image.assemble import accelerator_probe

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.host.process import Runner

    #: Runs the probe once.
    Run = Callable[[Accelerator, Patience], ProbeTrial]

BUDGET_SECONDS: Final = 10.0
"""Time limit of the whole choice."""

PAIRS: Final = 3
"""Number of paired measurements, TCG and KVM."""

TIMES_FASTER: Final = 2.0
"""Least speed of KVM, as a multiple of TCG's, in each pair."""

_LEAST_START: Final = 2.0
_START_FACTOR: Final = 3.0
_LEAST_END: Final = 2.0

USUAL_SLOWNESS: Final = 4.0
"""Least factor by which limits are stretched under TCG; 1 is a fast KVM.

A KASAN kernel that takes 2 s under KVM took 13 to 20 s under TCG on two cores. The limits
themselves have room for the rest.
"""

MOST_SLOWNESS: Final = 16.0
"""Largest factor, used also for an accelerator that failed its measurement."""

_SECONDS_PER_SLOWNESS: Final = 0.06
"""Seconds of the probe for each unit of slowness; TCG takes 0.2 s on an idle 3 GHz host."""


@dataclass(frozen=True, slots=True)
class AcceleratorChoice:
    """An accelerator and how it was chosen.

    Args:
        accelerator: the accelerator for guests.
        reason: a clause without a full stop.
        tcg: least seconds of the probe under TCG; None if it never finished.
        kvm: the same under KVM.
        qemu: QEMU's version.
        measured_at: time of the measurement, UTC.
        final: whether the measurement is complete; only then it is cached.
    """

    accelerator: Accelerator
    reason: str
    tcg: float | None
    kvm: float | None
    qemu: str
    measured_at: datetime
    final: bool = True

    def __str__(self) -> str:
        times = ", ".join(
            f"{name} {'-' if seconds is None else f'{seconds:.2f} s'}"
            for name, seconds in (("TCG", self.tcg), ("KVM", self.kvm))
        )
        moment = self.measured_at.strftime("%Y-%m-%d %H:%M UTC")
        return f"{self.accelerator}: {self.reason} ({times}; measured {moment})"


def slowness(accelerator: Accelerator, choice: AcceleratorChoice | None) -> float:
    """Return the factor by which limits are stretched; 1 is a fast KVM.

    It follows from the probe's time and is at most ``MOST_SLOWNESS``, so a busy host gets long
    limits. Without a measurement of TCG it is ``USUAL_SLOWNESS``.
    """
    if accelerator is Accelerator.TCG:
        seconds = choice.tcg if choice else None
        if seconds is None:
            return USUAL_SLOWNESS
        return _bounded(seconds, USUAL_SLOWNESS)
    seconds = choice.kvm if choice else None
    return MOST_SLOWNESS if seconds is None else _bounded(seconds, 1.0)


def _bounded(seconds: float, least: float) -> float:
    return min(MOST_SLOWNESS, max(least, seconds / _SECONDS_PER_SLOWNESS))


def choose_accelerator(
    workspace: Workspace,
    runner: Runner,
    clock: Clock,
    *,
    refresh: bool = False,
    device: Path = KVM_DEVICE,
) -> AcceleratorChoice:
    """Measure TCG and KVM with the same guest, within ``BUDGET_SECONDS``.

    The choice is cached for this boot of the host, this QEMU, and these KVM device and modules.

    Args:
        workspace: has the cache.
        runner: starts the compiler and QEMU.
        clock: times the probe.
        refresh: measure even if a choice is cached.
        device: KVM's device file.

    Raises:
        InfraError: QEMU or the compiler is missing, or the probe fails under both.
    """
    basis = acceleration_basis(device)
    with workspace.lock("accelerator"):
        if not refresh and (known := _read(_file(workspace), basis)):
            return known
        qemu = qemu_version(runner)
        rom = accelerator_probe(workspace, runner)

        def run(accelerator: Accelerator, patience: Patience) -> ProbeTrial:
            return run_probe(accelerator, rom, patience, runner, clock)

        choice = measure(run, clock, kvm_refusal(device), qemu)
        if choice.final:
            document = {"basis": basis, **asdict(choice)}
            write_atomic(_file(workspace), json.dumps(document, default=str) + "\n")
        return choice


def known_accelerator(workspace: Workspace, device: Path = KVM_DEVICE) -> AcceleratorChoice | None:
    """Return the cached choice, without measuring."""
    return _read(_file(workspace), acceleration_basis(device))


def forget_accelerator(workspace: Workspace) -> None:
    """Remove the cached choice, as after a failure under KVM.

    Raises:
        InfraError: the file cannot be removed.
    """
    with workspace.lock("accelerator"):
        _file(workspace).unlink(missing_ok=True)


def measure(run: Run, clock: Clock, refusal: str, qemu: str) -> AcceleratorChoice:
    """Run the probe under both accelerators, in alternating pairs, TCG first.

    Args:
        run: runs the probe once.
        clock: measures the time limit.
        refusal: the reason why KVM cannot be tried; empty if it can.
        qemu: QEMU's version.

    Raises:
        InfraError: the probe fails under both.
    """
    return _Measurement(run, clock, refusal, qemu).choice()


class _Measurement:
    """The measurements made by one call of ``measure``."""

    def __init__(self, run: Run, clock: Clock, refusal: str, qemu: str) -> None:
        self._run = run
        self._clock = clock
        self._refusal = refusal
        self._qemu = qemu
        self._until = clock.monotonic() + BUDGET_SECONDS
        self._tcg: list[ProbeTrial] = []
        self._kvm: list[ProbeTrial] = []

    def choice(self) -> AcceleratorChoice:
        tcg = self._try(Accelerator.TCG, self._all())
        if tcg.overdue:
            return self._chosen(Accelerator.TCG, f"not measured: {tcg.failure}", final=False)
        if tcg.failure:
            return self._without_tcg(tcg)
        if self._refusal:
            return self._chosen(Accelerator.TCG, self._refusal)
        for _ in range(PAIRS):
            if len(self._tcg) == len(self._kvm):
                tcg = self._try(Accelerator.TCG, self._all())
            limits = self._like(tcg)
            kvm = ProbeTrial("") if limits is None else self._try(Accelerator.KVM, limits)
            if limits is None or tcg.failure or (kvm.overdue and self._left() <= 0):
                why = f"the host is too busy to measure KVM within {BUDGET_SECONDS:g} s"
                return self._chosen(Accelerator.TCG, why, final=False)
            if objection := pair_objection(tcg, kvm):
                return self._chosen(Accelerator.TCG, objection)
        why = f"every result is right, and at least {TIMES_FASTER:g} times as fast as TCG"
        return self._chosen(Accelerator.KVM, why)

    def _without_tcg(self, tcg: ProbeTrial) -> AcceleratorChoice:
        refusal = self._refusal
        if not refusal:
            refusal = self._try(Accelerator.KVM, self._all()).failure
        if refusal:
            raise InfraError(
                f"QEMU {self._qemu} runs no guest on this host",
                remedy="QEMU's messages are below; reinstalling it may help: "
                f"apt-get install --reinstall {GUEST.package}",
                detail=f"kvm: {refusal}\ntcg: {tcg.failure}",
            )
        return self._chosen(Accelerator.KVM, f"under TCG, {tcg.failure}")

    def _try(self, accelerator: Accelerator, patience: Patience) -> ProbeTrial:
        trial = self._run(accelerator, patience)
        (self._tcg if accelerator is Accelerator.TCG else self._kvm).append(trial)
        return trial

    def _left(self) -> float:
        return self._until - self._clock.monotonic()

    def _all(self) -> Patience:
        left = max(0.0, self._left())
        return Patience(left, left, left)

    def _like(self, tcg: ProbeTrial) -> Patience | None:
        """Return the limits for KVM, equal to TCG's time; None if too little time is left."""
        if tcg.seconds is None or tcg.start is None:
            return None
        start = max(_LEAST_START, _START_FACTOR * tcg.start)
        left = self._left()
        if start + tcg.seconds > left:
            return None
        return Patience(start, tcg.seconds, min(_LEAST_END, left))

    def _chosen(
        self, accelerator: Accelerator, reason: str, *, final: bool = True
    ) -> AcceleratorChoice:
        return AcceleratorChoice(
            accelerator, reason, least(self._tcg), least(self._kvm), self._qemu,
            self._clock.now(), final,
        )  # fmt: skip


def pair_objection(tcg: ProbeTrial, kvm: ProbeTrial) -> str:
    """Return why one pair of measurements rules KVM out; empty if it does not."""
    if kvm.failure:
        return f"under KVM, {kvm.failure}"
    if tcg.seconds is None or kvm.seconds is None:
        return "KVM was not measured"
    if kvm.seconds * TIMES_FASTER > tcg.seconds:
        return (
            f"KVM took {kvm.seconds:.2f} s, TCG {tcg.seconds:.2f} s; KVM must be "
            f"{TIMES_FASTER:g} times as fast"
        )
    return ""


def least(trials: Sequence[ProbeTrial]) -> float | None:
    """Return the least time of the trials that finished; None if none did."""
    return min((one.seconds for one in trials if one.seconds is not None), default=None)


def _file(workspace: Workspace) -> Path:
    return workspace.cache / "accelerator.json"


def _read(kept: Path, basis: list[object]) -> AcceleratorChoice | None:
    """Return the cached choice if it was made under the same circumstances."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        data = json.loads(kept.read_text())
        if data["basis"] == basis:
            return AcceleratorChoice(
                accelerator=Accelerator(data["accelerator"]),
                reason=str(data["reason"]),
                tcg=_seconds(data["tcg"]),
                kvm=_seconds(data["kvm"]),
                qemu=str(data["qemu"]),
                measured_at=datetime.fromisoformat(data["measured_at"]),
            )
    return None


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    seconds = float(str(value))
    if not 0 <= seconds <= BUDGET_SECONDS:
        raise ValueError(f"{value} seconds")
    return seconds
