"""The programs of a vm file that switch a machine on and off and connect to its serial ports."""

from __future__ import annotations

import os
import shlex
import tempfile
from typing import IO, TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.image.media import DirectKernel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.guest.machinefile import CommandMachine
    from harness.guest.spec import GuestSpec
    from harness.host.clock import Clock
    from harness.host.process import Runner

MOST_OUTPUT: Final = 16 << 20
"""Most bytes that a program of a vm file may print; consoles have their own limits."""

#: What ``power_state`` prints.
OFF: Final = "off"
ON: Final = "on"

_TAIL_BYTES: Final = 8192
_TICK: Final = 0.1


class MachinePrograms:
    """Runs the programs of a machine.

    Args:
        machine: names them.
        runner: starts them.
        clock: measures their time limits.
    """

    def __init__(self, machine: CommandMachine, runner: Runner, clock: Clock) -> None:
        self.machine = machine
        self._runner = runner
        self._clock = clock

    @property
    def lines(self) -> tuple[tuple[str, ...], ...]:
        """The programs at the serial ports, the console first."""
        machine = self.machine
        return (machine.console, *((machine.channel,) if machine.channel else ()))

    @property
    def passed(self) -> dict[str, str]:
        """The user's environment variables that the programs get."""
        return {name: os.environ[name] for name in self.machine.environment if name in os.environ}

    def run(self, key: str, environment: Mapping[str, str]) -> str:
        """Run one of the machine's programs to its end, and return its output.

        Raises:
            InfraError: it failed.
        """
        machine, clock, words = self.machine, self._clock, self.machine.programs()[key]
        until = clock.monotonic() + machine.seconds
        problem = ""
        with temporary_file() as output:
            process = self._runner.spawn(
                words, cwd=machine.directory, env=environment, stdout=output, stderr=output
            )
            try:
                while (status := process.wait(_TICK)) is None and not problem:
                    if clock.monotonic() > until:
                        problem = f"did not end within {machine.seconds:g} s"
                    elif size_of(output) > MOST_OUTPUT:
                        problem = f"printed more than {MOST_OUTPUT >> 20} MiB"
            finally:
                process.kill()
            text = end_of(output)
        if status:
            problem = problem or f"failed with exit status {status}"
        if problem:
            raise InfraError(
                f"{key} of machine {machine.name} {problem}",
                remedy=f"its output is below; the command was: {shlex.join(words)}",
                detail=text,
            )
        return text

    def power(self, environment: Mapping[str, str] | None = None) -> str | None:
        """Return ``on`` or ``off``; None if the file has no ``power_state``.

        Raises:
            InfraError: ``power_state`` failed, or printed neither.
        """
        words = self.machine.power_state
        if not words:
            return None
        told = environment or {**self.passed, "HARNESS_MACHINE": self.machine.name}
        lines = self.run("power_state", told).split()
        state = lines[-1].lower() if lines else ""
        if state not in (ON, OFF):
            raise InfraError(
                f"power_state of machine {self.machine.name} printed {state[:40]!r}",
                remedy=f"it must print {ON} or {OFF}; the command was: {shlex.join(words)}",
            )
        return state

    def environment(self, spec: GuestSpec, media: Path) -> dict[str, str]:
        """Return the programs' environment, in addition to that of every child process."""
        method = "direct" if isinstance(spec.media, DirectKernel) else "loader"
        return {
            **self.passed,
            "HARNESS_MACHINE": self.machine.name,
            "HARNESS_GUEST": spec.name,
            "HARNESS_MEDIA": str(media),
            "HARNESS_BOOT": method,
            "HARNESS_CHANNEL": "1" if spec.serial_sockets else "",
            "HARNESS_NODES": str(len(spec.topology.nodes)),
            "HARNESS_CPUS": str(spec.cpus),
            "HARNESS_MEMORY_MIB": str(spec.topology.memory_mib),
        }


def temporary_file() -> IO[bytes]:
    """Return a file for a program's output, removed when it is closed."""
    return tempfile.TemporaryFile()


def size_of(file: IO[bytes]) -> int:
    """Return a file's size in bytes."""
    return os.fstat(file.fileno()).st_size


def end_of(file: IO[bytes]) -> str:
    """Return the last 8 KiB of a file; does not seek, which would move the programs' offset."""
    start = max(0, size_of(file) - _TAIL_BYTES)
    return os.pread(file.fileno(), _TAIL_BYTES, start).decode("utf-8", "replace")
