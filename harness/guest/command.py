"""Backend for existing machines, which a vm file's programs start and stop.

Such a machine has power, a serial console, and a way to load a kernel: hardware behind a console
server and a PXE server, or a guest of another host's hypervisor. ``vmconfigs/README.md`` documents
the programs.

No QEMU describes the machine, reports how it ended or measures its time.
``CommandBackend.unproven`` lists what is unproven; every record has it.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import InfraError, UsageError
from harness.guest.backends import BackendHost, BackendType
from harness.guest.commandguest import CommandGuest
from harness.guest.machinefile import CommandMachine, read_machine_file
from harness.guest.machineprograms import MachinePrograms
from harness.guest.serialtap import SerialTap
from harness.host.doctor import HostFinding, good, lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.guest.backend import Inspect
    from harness.guest.backends import FixedMachine
    from harness.guest.spec import GuestSpec
    from harness.host.accelerator import Accelerator
    from harness.host.doctor import Doctor
    from harness.image.media import BootMethod, Media


class CommandBackend:
    """Starts the machine that a vm file describes; see ``Backend``.

    Args:
        host: runner, clock and workspace.
        fixed: the machine.
        machine: its programs.
    """

    name = "command"
    saves_state = False

    def __init__(self, host: BackendHost, fixed: FixedMachine, machine: CommandMachine) -> None:
        self.machine = machine
        self._programs = MachinePrograms(machine, host.runner, host.clock)
        self._host = host
        self._fixed = fixed

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        """See ``Backend``."""
        return self._fixed.methods

    @property
    def unproven(self) -> tuple[str, ...]:
        """See ``Backend``."""
        machine = self.machine
        silence = () if machine.power_state else ("whether the machine was on while it was silent",)
        return (
            f"which machine this was: programs of {self._fixed.name} started it, and only its own "
            "kernel describes it",
            "how much time the machine had",
            *silence,
        )

    def identity(self, accelerator: Accelerator) -> None:
        """See ``Backend``: the programs run as the harness's user."""
        del accelerator

    def firmware(self, media: Media) -> None:
        """See ``Backend``: the machine has its own."""
        del media

    def open_port(self, path: Path, nap: float = 0.0) -> SerialTap:
        """See ``Backend``."""
        return SerialTap(path, nap)

    def describe(self, spec: GuestSpec) -> str:
        """See ``Backend``: the programs in the order in which they run."""
        machine = self.machine
        listed = {
            "deliver": machine.deliver, "console": machine.console,
            "channel": machine.channel if spec.serial_sockets else (),
            "power_on": machine.power_on, "power_off": machine.power_off,
        }  # fmt: skip
        head = f"# machine {machine.name} of {self._fixed.name}, in {machine.directory}\n"
        return head + "".join(
            f"{key}: {shlex.join(words)}\n" for key, words in listed.items() if words
        )

    def start(
        self, spec: GuestSpec, *, keep: bool = False, inspect: Inspect = lambda _: None
    ) -> CommandGuest:
        """See ``Backend``.

        Raises:
            UsageError: the file lacks a second serial port that is needed, the guest has disks or
                a network, or ``keep`` was given.
            InfraError: another harness uses the machine, or a program failed.
        """
        if keep:
            raise UsageError(
                f"machine {self.machine.name} cannot be kept: its programs end with the harness",
                remedy="leave --keep out; --interactive connects the terminal to its console",
            )
        if spec.disks or spec.network:
            raise UsageError(
                f"machine {self.machine.name} cannot be given disks or a network",
                remedy="use --backend qemu or libvirt, with a topology of its own",
            )
        if spec.serial_sockets:
            self._fixed.require_channel()
        guest = CommandGuest(self._programs, self._host, spec)
        try:
            guest.start(inspect)
        except BaseException:
            with contextlib.suppress(InfraError):
                guest.destroy()
            raise
        return guest


def _make(host: BackendHost) -> CommandBackend:
    fixed = host.machine
    if fixed is None or not isinstance(fixed.own, CommandMachine):
        raise UsageError(
            "the backend command starts a machine that a vm file describes",
            remedy="name a file with a [command] table with --vm; see vmconfigs/README.md",
        )
    for key, words in fixed.own.programs().items():
        if shutil.which(words[0]) is None:
            raise UsageError(
                f"{fixed.name}: command.{key}: {words[0]} is not an executable program",
                remedy="correct its path, or make it executable (chmod +x)",
            )
    return CommandBackend(host, fixed, fixed.own)


def _read(table: dict[str, Any], file: Path) -> FixedMachine:
    return read_machine_file(table, file)


def _findings(doctor: Doctor) -> Iterator[HostFinding]:
    """Yield the doctor's findings; boots do not depend on them."""
    name = "machines of your own"
    if doctor.program("timeout") is None:
        yield lacking(name, "coreutils", needed=False)
        return
    told = "by vm files with [command]; harness doctor --vm FILE examines one"
    yield good(name, told, needed=False)


def _examine(host: BackendHost) -> Iterator[HostFinding]:
    """Yield which of the file's programs exist, and the output of ``power_state``."""
    fixed = host.machine
    if fixed is None or not isinstance(fixed.own, CommandMachine):
        return
    machine = fixed.own
    for key, words in machine.programs().items():
        place = shutil.which(words[0])
        remedy = f"correct command.{key} of {fixed.name}, or make it executable (chmod +x)"
        if place is None:
            found = f"{words[0]} is not an executable program"
            yield HostFinding(f"{machine.name}: {key}", False, found, remedy)
        else:
            yield good(f"{machine.name}: {key}", shlex.join([place, *words[1:]]))
    if machine.power_state and shutil.which(machine.power_state[0]):
        name = f"{machine.name}: power"
        try:
            yield good(name, MachinePrograms(machine, host.runner, host.clock).power() or "")
        except InfraError as error:
            told = [error.message, *error.detail.splitlines()[-1:]]
            yield HostFinding(name, False, ": ".join(told), error.remedy)


TYPE: Final = BackendType(_make, _read, _findings, _examine)
