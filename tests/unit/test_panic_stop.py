"""A guest that stops where a panic begins: when gdb runs, and what it leaves behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from fake_guests import made_kernel

from harness.boot.panicstop import PanicStop, PausedClock, beginning_of_panic
from harness.errors import InfraError, UsageError
from harness.host.clock import ManualClock


@dataclass
class Monitor:
    """QEMU's, in some state of the guest."""

    state: str = "running"
    asked: list[str] = field(default_factory=list)
    lost: bool = False

    @property
    def stopped(self) -> bool:
        return self.state != "running"

    def query(
        self, command: str, arguments: Mapping[str, Any] | None = None, **_: object
    ) -> Mapping[str, Any]:
        if self.lost:
            raise InfraError("QEMU has exited")
        self.asked.append((arguments or {}).get("command-line", command))
        if command == "cont":
            self.state = "running"
        return {"status": self.state}

    def drain(self) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="hp-"))  # as a socket's path must be
    yield directory / "stub"
    shutil.rmtree(directory)


def stop_with(monitor: Monitor, stub: Path, output: str | InfraError = "#0 vpanic") -> PanicStop:
    def work() -> str:
        if isinstance(output, InfraError):
            raise output
        return output

    stop = PanicStop(0x200100, stub, PausedClock(ManualClock()), work)
    stop._monitor = cast("Any", monitor)
    return stop


def test_time_does_not_pass_while_gdb_works() -> None:
    clock = ManualClock()
    paused = PausedClock(clock)
    before = paused.monotonic()
    paused.during(lambda: clock.sleep(600))
    paused.sleep(2)
    assert paused.monotonic() - before == 2
    assert paused.now() == clock.now()


def test_time_goes_on_after_work_that_failed() -> None:
    clock = ManualClock()
    paused = PausedClock(clock)

    def fails() -> None:
        clock.sleep(5)
        raise InfraError("no gdb")

    with pytest.raises(InfraError):
        paused.during(fails)
    clock.sleep(1)
    assert paused.monotonic() == clock.monotonic() - 5


def test_a_panic_begins_at_a_symbol_of_the_kernel(tmp_path: Path) -> None:
    assert beginning_of_panic(made_kernel(tmp_path)) == 0x200100


def test_a_kernel_without_that_symbol_is_refused_with_the_option_to_leave_out(
    tmp_path: Path,
) -> None:
    kernel = made_kernel(tmp_path)
    kernel.kernel.write_bytes(kernel.kernel.read_bytes().replace(b"\0panic\0", b"\0tonic\0"))
    with pytest.raises(UsageError, match="no symbol vpanic") as refused:
        beginning_of_panic(kernel)
    assert "--gdb-on-panic" in refused.value.remedy


def test_a_guest_without_qemu_is_refused(stub: Path) -> None:
    stop = PanicStop(0, stub, PausedClock(ManualClock()), str)
    with pytest.raises(UsageError, match="under QEMU or libvirt"):
        stop.arm(None)


def test_at_the_breakpoint_gdb_runs_once_and_the_guest_goes_on(stub: Path) -> None:
    monitor = Monitor("debug")
    stop = stop_with(monitor, stub)
    stop.look()
    assert stop.session.output == "#0 vpanic"
    assert monitor.asked[-1] == "cont"
    assert "gdbserver none" in monitor.asked
    monitor.state = "debug"
    stop.look()
    assert monitor.asked.count("cont") == 1


@pytest.mark.parametrize("state", ["running", "paused", "shutdown"])
def test_elsewhere_nothing_is_debugged(stub: Path, state: str) -> None:
    monitor = Monitor(state)
    stop = stop_with(monitor, stub)
    stop.look()
    assert stop.session.note == "the guest did not panic"
    assert "cont" not in monitor.asked


def test_what_gdb_lacks_is_noted_and_the_guest_goes_on(stub: Path) -> None:
    monitor = Monitor("debug")
    stop = stop_with(monitor, stub, InfraError("gdb is not installed"))
    stop.look()
    assert stop.session.note == "gdb is not installed"
    assert monitor.state == "running"


def test_a_guest_that_is_gone_leaves_no_stub(stub: Path) -> None:
    stub.touch()
    stop = stop_with(Monitor(lost=True), stub)
    stop.close()
    stop.close()
    assert not stub.exists()
