"""Watches whether the host runs a guest, and for how much of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.guest.cputime import GuestTime, patience
from harness.host.accelerator import Accelerator
from harness.host.procstat import ProcessSampler

if TYPE_CHECKING:
    from harness.guest.backend import Guest
    from harness.host.clock import Clock

MOST_HALTED: Final = 10.0
"""Most seconds for which QEMU may be stopped or frozen at a time."""

_KVM_ERRORS: Final = ("KVM internal error", "kvm run failed")
"""Messages of a QEMU that cannot run a guest under KVM any further (``kvm_cpu_exec()``)."""

_END_SECONDS: Final = 1.0


class HostWatch:
    """Watches the host side of one guest.

    Args:
        guest: the guest.
        clock: the host's.
        started: start of the guest, in monotonic seconds.
        accelerator: the guest's accelerator.
        silence: seconds of silence that count as a hang.
        timeout: seconds for the whole boot; None for no limit.

    Attributes:
        time: the time that counts for the guest.
    """

    def __init__(
        self, guest: Guest, clock: Clock, started: float, accelerator: Accelerator,
        silence: float, timeout: float | None,
    ) -> None:  # fmt: skip
        self._guest = guest
        self._pid = guest.pid
        self._kvm = accelerator is Accelerator.KVM
        self._silence = silence
        self._timeout = timeout
        self._excused_before = 0.0
        sampler = ProcessSampler(self._pid, clock) if self._pid else None
        self.time = GuestTime(clock, sampler.sample if sampler else lambda: None, started)

    def heard(self) -> None:
        """Record that the guest has printed something."""
        self._excused_before = self.time.all_excused

    def failure(self, *, attended: bool = False, busy: bool = False) -> InfraError | None:
        """Return why the host does not run the guest, with QEMU's message or figures.

        Args:
            attended: a user at the console decides how long to wait.
            busy: a client uses the guest through its second serial port.
        """
        if self._kvm and (words := _kvm_error(self._guest.stderr_tail())):
            return self._stopped(f"QEMU cannot run the guest any further: {words}")
        state = self._guest.stop_state()
        if state is not None:
            return self._stopped(f"QEMU has stopped the guest, and reports the state {state}")
        if attended:
            return None
        if self.time.halted > MOST_HALTED:
            return self._lost(
                f"QEMU (process {self._pid}) has been stopped for {self.time.halted:.0f} s",
                f"continue it (kill -CONT {self._pid}, or thaw its cgroup), or run it again",
            )
        return None if busy else self._starved()

    def confirm(self) -> InfraError | None:
        """Check again before a limit counts: QEMU must report that the guest runs.

        The caller checks whether the guest has ended meanwhile.
        """
        try:
            self._guest.require_running()
        except InfraError as error:
            if self._guest.wait(_END_SECONDS) is not None:
                return None
            return self._lost(error.message, error.remedy)
        return self.failure()

    def _starved(self) -> InfraError | None:
        silent = self.time.all_excused - self._excused_before
        if silent <= patience(self._silence) and (
            self._timeout is None or self.time.all_excused <= patience(self._timeout)
        ):
            return None
        return self._lost(
            f"the host gave the guest {self.time.monotonic():.1f} s of the "
            f"{self.time.monotonic() + self.time.all_excused:.1f} s since its start, too little "
            "to judge its silence",
            "run it again when the host is less busy",
        )

    def _stopped(self, message: str) -> InfraError:
        remedy = "QEMU's messages are below"
        if self._kvm:
            remedy += "; --accelerator tcg avoids KVM"
        return InfraError(message, remedy=remedy, detail=self._guest.stderr_tail())

    def _lost(self, message: str, remedy: str) -> InfraError:
        parts = (self.time.figures(), self._guest.stderr_tail())
        return InfraError(message, remedy=remedy, detail="\n".join(part for part in parts if part))


def _kvm_error(stderr: str) -> str:
    """Return the line with which QEMU reports a KVM error; empty if there is none."""
    lines = (line.strip() for line in stderr.splitlines())
    return next((line for line in lines if any(error in line for error in _KVM_ERRORS)), "")
