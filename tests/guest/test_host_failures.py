"""What the host does to QEMU is not the guest's failure; what the guest does is."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from backend_guests import BACKENDS, SECONDS, MakeBackend, guest_spec, query, until
from command import script
from embedded_guest import Kernels

from harness.arch import GUEST
from harness.boot.hostwatch import MOST_HALTED
from harness.boot.listen import Heard, Session
from harness.boot.plan import BootPlan
from harness.console.stages import Stage
from harness.errors import InfraError
from harness.guest.backend import Guest
from harness.guest.serialtap import SerialTap
from harness.guest.topology import Topology
from harness.host.clock import HostClock
from harness.host.loglimits import USUAL_LIMITS, LimitedLog
from harness.host.progress import Recorded
from harness.image.embedded import CommitSide
from harness.image.media import DirectKernel
from harness.kernel.elf import kernel_facts
from harness.outcome import Ending, Until
from harness.sanitizers import NONE
from harness.verification import Evidence

pytestmark = pytest.mark.guest

HANG = "harness.plant=hang"
TOPOLOGY = Topology.even(1, memory_mib_per_node=64)
NONCE = "0123456789abcdef"

Listening = Future[Ending]


@dataclass
class Boot:
    """A guest that somebody listens to."""

    guest: Guest
    ending: Listening
    console: bytearray = field(default_factory=bytearray)

    @property
    def pid(self) -> int:
        assert self.guest.pid is not None
        return self.guest.pid


class Boots:
    """Starts guests of the built-in kernel, and listens to each in a thread."""

    def __init__(self, directory: Path, kernel: Path, make_backend: MakeBackend) -> None:
        self._directory = directory
        self._kernel = kernel
        self._make_backend = make_backend
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Boots:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def start(self, append: str, timeout: float, backend: str = "qemu") -> Boot:
        spec = guest_spec(self._directory, TOPOLOGY, DirectKernel(self._kernel, append))
        cancelled = threading.Event()
        pool = self._held.enter_context(ThreadPoolExecutor(1))
        tap = self._held.enter_context(SerialTap(spec.console_socket))
        clock = HostClock()
        started = clock.monotonic()
        guest = self._make_backend(backend).start(spec)
        self._held.callback(guest.destroy)
        boot = Boot(guest, Listening())
        plan = BootPlan(TOPOLOGY, Until.INIT, spec.accelerator, timeout=timeout)
        evidence = Evidence(NONCE, kernel_facts(self._kernel), TOPOLOGY, ())
        log = LimitedLog(boot.console.extend, Path("console"), USUAL_LIMITS)
        session = Session(
            clock, guest, tap, log, plan, started, Recorded(),
            Heard(Stage.KERNEL), cancelled, evidence,
        )  # fmt: skip
        boot.ending = pool.submit(session.listen)
        return boot


@pytest.fixture
def boots(directory: Path, kernels: Kernels, make_backend: MakeBackend) -> Iterator[Boots]:
    with Boots(directory, kernels(CommitSide.AFTER, NONE), make_backend) as made:
        yield made


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_guest_that_halts_for_ever_hangs(boots: Boots, backend: str) -> None:
    assert boots.start(HANG, 1.0, backend).ending.result(SECONDS) is Ending.TIMEOUT


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_in_which_qemu_was_stopped_is_not_the_guests(boots: Boots, backend: str) -> None:
    """Longer than the guest has; then it gets the rest of its time, and hangs."""
    boot = boots.start(HANG, 1.0, backend)
    until(lambda: boot.console)
    os.kill(boot.pid, signal.SIGSTOP)
    time.sleep(2.0)
    assert not boot.ending.done()
    os.kill(boot.pid, signal.SIGCONT)
    assert boot.ending.result(SECONDS) is Ending.TIMEOUT


def test_qemu_that_stays_stopped_is_the_hosts_failure(boots: Boots) -> None:
    boot = boots.start(HANG, 5.0)
    until(lambda: boot.console)
    os.kill(boot.pid, signal.SIGSTOP)
    try:
        with pytest.raises(InfraError, match="has been stopped for") as caught:
            boot.ending.result(SECONDS + MOST_HALTED)
        assert f"kill -CONT {boot.pid}" in caught.value.remedy
        assert "QEMU was stopped (state T) for" in caught.value.detail
    finally:
        os.kill(boot.pid, signal.SIGCONT)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_guest_that_somebody_pauses_is_the_hosts_failure_at_once(
    boots: Boots, backend: str
) -> None:
    boot = boots.start(HANG, 600.0, backend)
    until(lambda: boot.console)
    with contextlib.suppress(InfraError):  # whose answer the listening thread may have taken
        query(boot.guest, "stop")
    with pytest.raises(InfraError, match="QEMU has stopped the guest, and reports the state paus"):
        boot.ending.result(SECONDS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_qemu_that_is_ended_from_outside_is_the_hosts_failure(
    boots: Boots, backend: str, signum: signal.Signals
) -> None:
    boot = boots.start(HANG, 600.0, backend)
    until(lambda: boot.console)
    os.kill(boot.pid, signum)
    with pytest.raises(InfraError, match=r"QEMU was ended from outside|QEMU died"):
        boot.ending.result(SECONDS)


# A quota of the CPU, or a freezer, needs a cgroup of one's own.

PERIOD_US = 100_000
QUOTA_US = 5_000

#: Files of a cgroup by its place, in version 1 and version 2 of cgroups.
Places = dict[str, dict[str, str]]

SMALL_QUOTA: Places = {
    "/sys/fs/cgroup/cpu": {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(QUOTA_US)},
    "/sys/fs/cgroup": {"cpu.max": f"{QUOTA_US} {PERIOD_US}"},
}
FREEZERS: Places = {
    "/sys/fs/cgroup/freezer": {"freezer.state": "THAWED"},
    "/sys/fs/cgroup": {"cgroup.freeze": "0"},
}
FROZEN = {"freezer.state": "FROZEN", "cgroup.freeze": "1"}


@contextlib.contextmanager
def cgroup(places: Places) -> Iterator[Path]:
    """A cgroup of one's own in the first of the places that the host has."""
    for place, files in places.items():
        group = Path(place, f"harness-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            for file, value in files.items():
                (group / file).write_text(value)
        except OSError:
            group.rmdir()
            continue
        yield group
        until(functools.partial(_removed, group))
        return
    pytest.skip("no cgroup of that kind that this user may make")


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@pytest.fixture
def throttled(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every QEMU starts in such a cgroup."""
    with cgroup(SMALL_QUOTA) as group:
        text = f'echo $$ >{group}/cgroup.procs; exec {shutil.which(GUEST.program)} "$@"'
        monkeypatch.setenv("PATH", script(directory / "bin", GUEST.program, text))
        yield


@pytest.mark.usefixtures("throttled")
def test_a_guest_that_is_throttled_gets_the_time_it_was_given(boots: Boots) -> None:
    """It boots, though that takes it longer than its limit on the wall clock."""
    assert boots.start("", 2.0).ending.result(SECONDS) is Ending.EXITED


@pytest.mark.usefixtures("throttled")
def test_a_guest_that_hangs_hangs_under_a_quota_too(boots: Boots) -> None:
    assert boots.start(HANG, 2.0).ending.result(SECONDS) is Ending.TIMEOUT


@pytest.mark.long
def test_qemu_that_is_frozen_is_the_hosts_failure_though_it_cannot_be_ended(boots: Boots) -> None:
    with cgroup(FREEZERS) as group:
        boot = boots.start(HANG, 5.0)
        until(lambda: boot.console)
        (group / "cgroup.procs").write_text(str(boot.pid))
        (state,) = (group / file for file in FROZEN if (group / file).exists())
        state.write_text(FROZEN[state.name])
        try:
            with pytest.raises(InfraError, match="has been stopped for") as caught:
                boot.ending.result(SECONDS + MOST_HALTED)
            assert "QEMU's cgroup was frozen for" in caught.value.detail
            with contextlib.suppress(InfraError):  # version 1 lets no signal through
                boot.guest.destroy()
        finally:
            state.write_text({"freezer.state": "THAWED", "cgroup.freeze": "0"}[state.name])
