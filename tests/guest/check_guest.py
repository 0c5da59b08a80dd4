"""The built-in guest for tests of ``harness check``: up, and listening on its second port."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded_guest import Boot

from harness.boot.worldguest import Login
from harness.check.channel import Channel
from harness.check.checker import Checker, CheckPlan
from harness.check.result import CheckResult
from harness.console.report import GuestReport, read_report
from harness.guest.contact import Contact
from harness.guest.qemu import QemuBackend
from harness.guest.serialtap import SerialTap, Tap
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.progress import Recorded
from harness.image.media import DirectKernel

SECONDS = 60.0
"""Longer than any answer takes, on whatever host."""

COMMAND_LINE = "harness.check=1 uma.prealloc_domain=0"
"""With the reserve of KMAP ENTRY where the boot looks for it, the guest comes up without the
commit, too."""


@dataclass(frozen=True)
class ListeningGuest:
    """A guest that obeys."""

    tap: Tap
    report: GuestReport

    def checked(self, plan: CheckPlan) -> CheckResult:
        """What a check of it comes to."""
        checker = Checker(plan, HostClock())
        checker.work(Contact(self.tap, Login(None)), self.report, Recorded(), HostClock())
        return checker.result

    def channel(self) -> Channel:
        """For commands of a test's own."""
        channel = Channel(self.tap, HostClock(), SECONDS)
        channel.open()
        return channel

    def say(self, line: bytes, lines: int = 1) -> bytes:
        """Whatever line, as it is; the lines that the guest answers."""
        self.tap.write(line + b"\n")
        answer = b""
        while answer.count(b"\n") < lines:
            data = self.tap.read(SECONDS)
            assert data, f"the guest says no more: {answer!r}"
            answer += data
        return answer


def fields(channel: Channel, command: str) -> Mapping[str, str]:
    """The fields of the answer to a command; raises as ``Channel.ask``."""
    return dict(channel.ask(command).fields)


@contextlib.contextmanager
def listening_guest(kernel: Path, topology: Topology) -> Iterator[ListeningGuest]:
    """The built-in guest, which ends with the block."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hc-")))
        spec = GuestSpec(
            "check", topology, DirectKernel(kernel, COMMAND_LINE), Accelerator.TCG,
            None, directory / "console", serial_sockets=(directory / "channel",),
        )  # fmt: skip
        console = stack.enter_context(SerialTap(spec.console_socket))
        tap = stack.enter_context(SerialTap(spec.serial_sockets[0]))
        guest = QemuBackend(HostRunner(), HostClock(), available=lambda: 1 << 50).start(spec)
        stack.callback(guest.destroy)
        report = _await_report(console)
        while tap.fileno() is None:
            tap.read(SECONDS)
        yield ListeningGuest(tap, report)


def _await_report(console: Tap) -> GuestReport:
    """Both copies are read: what nobody takes from its console stops a guest."""
    said = b""
    while said.count(b" end records=") < 2 or not said.endswith(b"\n"):
        data = console.read(SECONDS)
        assert data != b"", f"the guest ended: {said[-1000:]!r}"
        said += data or b""
    return read_report(Boot(said, ended=False).report)
