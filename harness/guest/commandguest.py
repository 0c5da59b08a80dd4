"""A machine that a vm file's programs have switched on, and the output of these programs."""

from __future__ import annotations

import contextlib
import shlex
from typing import IO, TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.guest.backend import GuestEnding, GuestExit, Inspect
from harness.guest.handover import hand_over
from harness.guest.machineprograms import MOST_OUTPUT, OFF, end_of, size_of, temporary_file
from harness.host.procfs import cpu_seconds
from harness.host.sockets import connected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.guest.backends import BackendHost
    from harness.guest.machineprograms import MachinePrograms
    from harness.guest.spec import GuestSpec
    from harness.host.process import LastProgram, Process

_TIMED_OUT: Final = (124, 137)  # timeout(1)


class CommandGuest:
    """A machine that is switched on; see ``Guest``.

    Args:
        programs: switch it on and off.
        host: runner and workspace.
        spec: the guest that it stands for.
    """

    def __init__(self, programs: MachinePrograms, host: BackendHost, spec: GuestSpec) -> None:
        self._programs = programs
        self._machine = programs.machine
        self._host = host
        self._held = contextlib.ExitStack()
        self._environment: Mapping[str, str] = {}
        self._lines: list[Process] = []
        self._off: LastProgram | None = None
        self._is_off = False
        self._spec = spec
        self._stderr: IO[bytes] = self._held.enter_context(temporary_file())
        self._last_words = ""

    def start(self, inspect: Inspect) -> None:
        """Deliver the kernel, connect to the console, switch the machine on.

        Raises:
            InfraError: another harness uses the machine, or a program failed.
        """
        machine, runner, workspace = self._machine, self._host.runner, self._host.workspace
        lock = self._held.enter_context(workspace.lock(f"machine-{machine.key}", self._in_use))
        directory = self._held.enter_context(workspace.scratch("machine"))
        self._environment = self._programs.environment(self._spec, directory)
        hand_over(self._spec.media, directory)
        # Inherits the lock, which is held until the machine is off even if the harness is killed.
        self._off = runner.prepare(
            machine.power_off, deadline=machine.seconds, cwd=machine.directory,
            env=self._environment, stderr=self._stderr, pass_fds=(lock.fd,),
        )  # fmt: skip
        self._run("power_off")  # the previous user may have left it on
        if machine.deliver:
            self._run("deliver")
        for path, words in zip(self._spec.all_serial_sockets, self._programs.lines, strict=False):
            with connected(path) as port:
                line = runner.spawn(
                    words, cwd=machine.directory, env=self._environment, duplex=True,
                    stdout=port.fileno(), stderr=self._stderr,
                )  # fmt: skip
            self._lines.append(line)
        inspect(self)
        self._run("power_on")

    def _in_use(self, holder: str) -> None:
        raise InfraError(
            f"machine {self._machine.name} is in use by process {holder} (or its power_off "
            "is still running)",
            remedy=f"run it again when that has ended; see ps -p {holder}",
        )

    def _run(self, key: str) -> None:
        self._programs.run(key, self._environment)

    @property
    def pid(self) -> None:
        """See ``Guest``: the machine is not a process of this host."""
        return

    def machine_differences(self, spec: GuestSpec) -> tuple[str, ...]:
        """See ``Guest``: nothing describes the machine."""
        del spec
        return ()

    def forwarded_port(self) -> int:
        """See ``Guest``.

        Raises:
            InfraError: the harness has no part in the machine's network.
        """
        raise InfraError(f"machine {self._machine.name} has no network of the harness's")

    def require_running(self) -> None:
        """See ``Guest``."""
        state = self._programs.power(self._environment)
        if state == OFF:
            self._is_off = True
            raise InfraError(f"machine {self._machine.name} is off")
        for number, line in enumerate(self._lines):
            if (status := line.poll()) is not None:
                raise self._lost(status, number)

    @property
    def monitor(self) -> None:
        """See ``Guest``: it has none."""
        return

    def stop_state(self) -> None:
        """See ``Guest``: always None, because no known cause stops the machine.

        Raises:
            InfraError: the programs at its serial ports exceed the limit of their standard error.
        """
        if not self._stderr.closed and size_of(self._stderr) > MOST_OUTPUT:
            raise InfraError(
                f"the consoles of machine {self._machine.name} wrote more than "
                f"{MOST_OUTPUT >> 20} MiB to standard error",
                remedy="their messages are below",
                detail=self.stderr_tail(),
            )

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        """See ``Guest``: the machine ends with its console program, or when its power is off."""
        if self._is_off:
            return GuestExit(GuestEnding.POWEROFF)
        if not self._lines:
            return GuestExit(
                GuestEnding.KILLED, failure=InfraError("the harness has ended the machine")
            )
        status = self._lines[0].wait(timeout)
        if status is None:
            return None
        if self._programs.power(self._environment) == OFF:
            return GuestExit(GuestEnding.POWEROFF, status)
        return GuestExit(GuestEnding.LOST, status, self._lost(status))

    def _lost(self, status: int, number: int = 0) -> InfraError:
        words = shlex.join(self._programs.lines[number])
        port = "channel" if number else "console"
        return InfraError(
            f"the {port} of machine {self._machine.name} ended with exit status {status}; "
            "whether the machine has ended is unknown",
            remedy=f"its output is below; the command was: {words}",
            detail=self.stderr_tail(),
        )

    def destroy(self) -> None:
        """See ``Guest``: runs ``power_off`` in every case.

        Raises:
            InfraError: the machine may still be on.
        """
        off, self._off = self._off, None
        lines, self._lines = self._lines, []
        with self._held:
            try:
                status = off.run() if off is not None else 0
            finally:
                for line in lines:
                    line.kill()
            self._last_words = self.stderr_tail()
        if status != 0:
            late = f" (timeout of {self._machine.seconds:g} s)"
            raise InfraError(
                f"power_off of machine {self._machine.name} failed with exit status {status}"
                + (late if status in _TIMED_OUT else ""),
                remedy="switch the machine off; the command was: "
                + shlex.join(self._machine.power_off),
                detail=self._last_words,
            )

    def leave(self) -> None:
        """See ``Guest``: such a guest cannot be kept."""
        return

    def cpu_seconds(self) -> float | None:
        """See ``Guest``."""
        return cpu_seconds(self.pid)

    def stderr_tail(self) -> str:
        """See ``Guest``: standard error of the programs at its serial ports."""
        if self._stderr.closed:
            return self._last_words
        return end_of(self._stderr)
