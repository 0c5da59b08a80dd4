"""Who listens to a guest tells the kernel's failure from the host's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.boot.listen import Heard, Session
from harness.boot.plan import BootPlan
from harness.console.stages import Stage
from harness.errors import InfraError
from harness.guest.backend import GuestEnding, GuestExit, Whereabouts, qemu_exit
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import ManualClock
from harness.host.loglimits import USUAL_LIMITS, LimitedLog, LogLimits
from harness.host.progress import Recorded
from harness.kernel.elf import KernelFacts
from harness.outcome import Ending, Until
from harness.sanitizers import NONE
from harness.verification import Evidence

BANNER = b"FreeBSD 13.2-RELEASE GENERIC amd64\r\n"
PANIC = (
    b"panic: kernel resources exhausted\r\ncpuid = 0\r\ntime = 1\r\nKDB: stack backtrace:\r\n"
    b"Uptime: 1s\r\n"
)
KVM_ERROR = "KVM internal error. Suberror: 1\nemulation failure\nRAX=0000000000000000"
TIMEOUT = 10.0


@dataclass
class FakeGuest:
    """A guest that QEMU treats as it is told; see ``Guest``."""

    stderr: str = ""
    state: str | None = None
    answers: bool = True
    exit: GuestExit | None = None
    pid: int | None = None
    monitor: None = None

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        return self.exit

    def destroy(self) -> None:
        raise AssertionError("whoever listens does not end it")

    def leave(self) -> Whereabouts | None:
        return None

    def cpu_seconds(self) -> float | None:
        return None

    def stderr_tail(self) -> str:
        return self.stderr

    def machine_differences(self, spec: GuestSpec) -> tuple[str, ...]:
        return ()

    def forwarded_port(self) -> int:
        raise InfraError("it has no network")

    def require_running(self) -> None:
        if not self.answers:
            raise InfraError("QEMU did not answer query-status within 30 s")

    def stop_state(self) -> str | None:
        return self.state


class AfterConsole(FakeGuest):
    """To which all that befalls another happens only once its console has been read."""

    def __init__(self, later: FakeGuest, tap: FakeTap) -> None:
        super().__init__()
        self._later = later
        self._tap = tap

    @property
    def _now(self) -> FakeGuest:
        return self._later if self._tap.told else FakeGuest()

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        return self._now.wait(timeout)

    def stderr_tail(self) -> str:
        return self._now.stderr_tail()

    def stop_state(self) -> str | None:
        return self._now.stop_state()


@dataclass
class FakeTap:
    """Gives what it is told, one piece a read, and then silence; a read takes ``pause`` seconds.

    ``at_last`` comes with the first read that does not wait, ``late`` with one that waits for a
    second or more.
    """

    clock: ManualClock
    pieces: Sequence[bytes] = ()
    at_last: bytes = b""
    pause: float | None = None
    late: bytes = b""
    _given: int = field(default=0, init=False)

    @property
    def told(self) -> bool:
        """Whether all pieces were given."""
        return self._given == len(self.pieces)

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        self.clock.sleep(timeout if self.pause is None or timeout == 0 else self.pause)
        if self._given < len(self.pieces):
            self._given += 1
            return self.pieces[self._given - 1]
        if timeout == 0 and self.at_last:
            data, self.at_last = self.at_last, b""
            return data
        if timeout >= 1 and self.late:
            data, self.late = self.late, b""
            return data
        return None

    def write(self, data: bytes) -> None:
        raise AssertionError("nobody types")


def listen(
    guest: FakeGuest, *pieces: bytes, at_last: bytes = b"", pause: float | None = None,
    accelerator: Accelerator = Accelerator.TCG, timeout: float | None = TIMEOUT,
    longest: float | None = None,
    at_once: bool = True, late: bytes = b"", limits: LogLimits = USUAL_LIMITS,
) -> Ending:  # fmt: skip
    """How a guest that prints these pieces ends; what befalls it, after them or ``at_once``."""
    clock = ManualClock()
    topology = Topology.even(1, memory_mib_per_node=64)
    plan = BootPlan(topology, Until.INIT, accelerator, timeout=timeout, longest=longest)
    tap = FakeTap(clock, pieces, at_last, pause, late)
    if not at_once:
        guest = AfterConsole(guest, tap)
    evidence = Evidence("0" * 16, KernelFacts("", "", NONE, 0), topology, ())
    log = LimitedLog(lambda _: None, Path("console"), limits)
    session = Session(
        clock, guest, tap, log, plan, 0.0, Recorded(), Heard(Stage.KERNEL),
        threading.Event(), evidence,
    )  # fmt: skip
    return session.listen()


def test_a_guest_that_prints_more_than_a_log_may_is_ended() -> None:
    limits = LogLimits(keep=len(BANNER), end=len(BANNER) + 10)
    assert listen(FakeGuest(), BANNER, b"x" * 10, limits=limits) is Ending.TIMEOUT
    assert listen(FakeGuest(), BANNER, b"x" * 11, limits=limits) is Ending.FLOOD


def test_silence_is_the_guests_if_qemu_answers_that_it_runs() -> None:
    assert listen(FakeGuest(), BANNER) is Ending.TIMEOUT
    assert listen(FakeGuest(), BANNER, timeout=None) is Ending.SILENCE


@pytest.mark.parametrize("timeout", [TIMEOUT, None])
def test_silence_is_the_hosts_if_qemu_does_not_answer(timeout: float | None) -> None:
    with pytest.raises(InfraError, match="QEMU did not answer query-status"):
        listen(FakeGuest(answers=False), BANNER, timeout=timeout)


@pytest.mark.parametrize("state", ["internal-error", "io-error", "paused"])
def test_a_guest_that_qemu_stopped_is_the_hosts_failure(state: str) -> None:
    guest = FakeGuest(state=state, stderr="qemu: something is wrong")
    with pytest.raises(InfraError, match=f"reports the state {state}") as caught:
        listen(guest, BANNER)
    assert caught.value.detail == "qemu: something is wrong"


def test_an_error_of_kvms_is_told_in_qemus_words() -> None:
    guest = FakeGuest(stderr=KVM_ERROR)
    with pytest.raises(InfraError, match=r"KVM internal error\. Suberror: 1") as caught:
        listen(guest, BANNER, accelerator=Accelerator.KVM)
    assert "--accelerator tcg" in caught.value.remedy
    assert caught.value.detail == KVM_ERROR
    assert listen(guest, BANNER, accelerator=Accelerator.TCG) is Ending.TIMEOUT


@pytest.mark.parametrize(
    "guest",
    [
        FakeGuest(state="internal-error"),
        FakeGuest(stderr=KVM_ERROR),
        FakeGuest(exit=qemu_exit(GuestEnding.CRASHED, -6, "")),
        FakeGuest(exit=qemu_exit(GuestEnding.KILLED, 0, "")),
    ],
    ids=["stopped", "KVM's error", "crashed", "killed"],
)
def test_what_the_host_does_after_a_panic_does_not_undo_it(guest: FakeGuest) -> None:
    assert listen(guest, BANNER + PANIC, accelerator=Accelerator.KVM, at_once=False) is (
        Ending.STOPPED
    )
    with pytest.raises(InfraError):
        listen(guest, BANNER, accelerator=Accelerator.KVM, at_once=False)


def test_last_words_that_come_after_the_end_of_qemu_are_heard() -> None:
    """As they do where a program stands between QEMU and the harness."""
    crashed = FakeGuest(exit=qemu_exit(GuestEnding.CRASHED, -6, ""))
    assert listen(crashed, BANNER, late=PANIC) is Ending.STOPPED


def test_what_comes_while_time_runs_out_is_heard() -> None:
    """The clock has gone on, and what the guest wrote meanwhile lies in its socket."""
    assert listen(FakeGuest(), BANNER, at_last=PANIC, timeout=None) is Ending.STOPPED


def test_a_guest_that_never_stops_printing_runs_out_of_time() -> None:
    assert listen(FakeGuest(), *[BANNER] * 1000) is Ending.TIMEOUT


def test_a_limit_that_the_harness_has_set_is_not_the_users_timeout() -> None:
    assert listen(FakeGuest(), BANNER, timeout=None, longest=TIMEOUT) is Ending.DEADLINE
    assert listen(FakeGuest(), BANNER, longest=TIMEOUT + 1) is Ending.TIMEOUT


def test_a_harness_that_got_no_time_does_not_judge() -> None:
    with pytest.raises(InfraError, match="too little to judge its silence") as caught:
        listen(FakeGuest(), BANNER, pause=60.0)
    assert "the harness itself did not run for" in caught.value.detail


@pytest.mark.parametrize(
    ("end", "ending"), [(GuestEnding.POWEROFF, Ending.EXITED), (GuestEnding.RESET, Ending.RESET)]
)
def test_an_end_of_the_guests_own_is_its_own(end: GuestEnding, ending: Ending) -> None:
    assert listen(FakeGuest(exit=GuestExit(end, 0)), BANNER) is ending


def test_a_console_that_is_lost_is_no_end_but_where_all_was_said() -> None:
    """Of a machine that nobody is asked about."""
    lost = InfraError("nothing comes from the machine any more")
    guest = FakeGuest(exit=GuestExit(GuestEnding.LOST, 0, lost))
    assert listen(guest, BANNER + PANIC, at_once=False) is Ending.STOPPED
    with pytest.raises(InfraError, match="nothing comes"):
        listen(guest, BANNER, at_once=False)
