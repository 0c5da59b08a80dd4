"""What the host does to QEMU is not the guest's failure; what the guest does is."""

from __future__ import annotations

import contextlib
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
from backend_guests import BACKENDS, SECONDS, MakeBackend, guest_spec, until
from command import script
from embedded_guest import Kernels

from harness.console.stages import Stage
from harness.errors import InfraError
from harness.guest.backend import Guest
from harness.guest.qemu_argv import PROGRAM
from harness.guest.tap import SerialTap
from harness.guest.topology import Topology
from harness.host.clock import HostClock
from harness.host.progress import Recorded
from harness.image.embedded import Variant
from harness.image.media import DirectKernel
from harness.kernel.elf import kernel_facts
from harness.kernel.spec import Sanitizer
from harness.outcome import Ending, Until
from harness.pipeline.hostwatch import MOST_HALTED
from harness.pipeline.listen import Heard, Session
from harness.pipeline.plan import BootPlan
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

    def __init__(self, folder: Path, kernel: Path, make_backend: MakeBackend) -> None:
        self._folder = folder
        self._kernel = kernel
        self._make_backend = make_backend
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Boots:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def start(self, append: str, timeout: float, backend: str = "qemu") -> Boot:
        spec = guest_spec(self._folder, TOPOLOGY, DirectKernel(self._kernel, append))
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
        session = Session(
            clock, guest, tap, boot.console.extend, plan, started, Recorded(),
            Heard(Stage.KERNEL), cancelled, evidence,
        )  # fmt: skip
        boot.ending = pool.submit(session.listen)
        return boot


@pytest.fixture
def boots(folder: Path, kernels: Kernels, make_backend: MakeBackend) -> Iterator[Boots]:
    with Boots(folder, kernels(Variant.AFTER, Sanitizer.NONE), make_backend) as made:
        yield made


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_guest_that_halts_for_ever_hangs(boots: Boots, backend: str) -> None:
    assert boots.start(HANG, 1.0, backend).ending.result(SECONDS) is Ending.DEADLINE


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_in_which_qemu_was_stopped_is_not_the_guests(boots: Boots, backend: str) -> None:
    """Longer than the guest has; then it gets the rest of its time, and hangs."""
    boot = boots.start(HANG, 3.0, backend)
    until(lambda: boot.console)
    os.kill(boot.pid, signal.SIGSTOP)
    time.sleep(5.0)
    assert not boot.ending.done()
    os.kill(boot.pid, signal.SIGCONT)
    assert boot.ending.result(SECONDS) is Ending.DEADLINE


@pytest.mark.parametrize("backend", BACKENDS)
def test_qemu_that_stays_stopped_is_the_hosts_failure(boots: Boots, backend: str) -> None:
    boot = boots.start(HANG, 5.0, backend)
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
        boot.guest.query("stop")
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


# A quota of the CPU needs a cgroup of one's own.

QUOTA = 0.03
PERIOD_US = 100_000


@contextlib.contextmanager
def small_quota() -> Iterator[Path]:
    """A cgroup whose processes get 3 % of one CPU."""
    name, quota = f"harness-test-{os.getpid()}", round(QUOTA * PERIOD_US)
    places = {
        Path("/sys/fs/cgroup/cpu", name): {
            "cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)
        },
        Path("/sys/fs/cgroup", name): {"cpu.max": f"{quota} {PERIOD_US}"},
    }  # fmt: skip
    for group, files in places.items():
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
        until(lambda: _removed(group))  # noqa: B023 - called before the next round
        return
    pytest.skip("no cgroup whose quota this user may set")


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@pytest.fixture
def throttled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every QEMU starts in such a cgroup."""
    with small_quota() as group:
        text = f'echo $$ >{group}/cgroup.procs; exec {shutil.which(PROGRAM)} "$@"'
        monkeypatch.setenv("PATH", script(folder / "bin", PROGRAM, text))
        yield


@pytest.mark.usefixtures("throttled")
def test_a_guest_that_is_throttled_gets_the_time_it_was_given(boots: Boots) -> None:
    """It boots, though that takes it longer than its limit on the wall clock."""
    assert boots.start("", 2.0).ending.result(SECONDS) is Ending.EXITED


@pytest.mark.usefixtures("throttled")
def test_a_guest_that_hangs_hangs_under_a_quota_too(boots: Boots) -> None:
    assert boots.start(HANG, 2.0).ending.result(SECONDS) is Ending.DEADLINE
