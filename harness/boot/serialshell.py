"""The shell of a guest without a userland, on its second serial port (``images/shell``)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

from harness.check.channel import Channel, GuestGone, GuestRefused, GuestSilent
from harness.check.protocol import Nonsense, read_bytes, read_number
from harness.guest.serialtap import Detached
from harness.shell.shell import (
    Completed,
    OutputSink,
    ShellError,
    ShellLostError,
    ShellRefusedError,
    ShellSilentError,
    ShellTimeoutError,
)

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord
    from harness.console.report import GuestReport
    from harness.guest.contact import Contact
    from harness.guest.serialtap import Tap
    from harness.host.clock import Clock

SERIAL_TUNABLES: Final[Mapping[str, str]] = {"harness.shell": "1"}
"""Kernel environment of a guest that runs commands from its second serial port."""

MAX_COMMAND: Final = 480
"""Maximum length of a command, in bytes; two digits for each fit into a line."""

_PART: Final = 256
"""Bytes of a file in one line, beside its path."""

_MAX_PATH: Final = 200

_KEPT: Final = 16 << 20
"""Maximum output of a command that is kept, in bytes."""

_SILENCE: Final = 20.0
"""Timeout of an answer on a fast accelerator, in seconds."""

_NO_COMMAND: Final = "no-such-command"


class SerialShell:
    """Runs the few commands that the guest has; see ``Shell``.

    A command that exceeds its timeout runs on in the guest; the next one waits for its end.

    Args:
        tap: the guest's second serial port.
        time: measures how long the guest could run.
        slowness: factor of the timeout of each answer, relative to a fast accelerator.
    """

    def __init__(self, tap: Tap, time: Clock, slowness: float = 1.0) -> None:
        self._time = time
        self._silence = _SILENCE * slowness
        self._channel = Channel(tap, time, self._silence, window=1)
        self._settled = False

    def connect(self) -> None:
        """See ``Shell``: there is no login."""

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        """See ``Shell``; the command must fit into one line, and has no standard input."""
        if stdin:
            raise ShellRefusedError("commands of this guest have no standard input")
        text = command.encode() or b" "
        if len(text) > MAX_COMMAND:
            raise ShellRefusedError(
                f"commands of this guest have at most {MAX_COMMAND} bytes, and this one {len(text)}"
            )
        output = _Output(sink)
        with self._conversation():
            self._channel.send(f"run line={text.hex()}")
            status = self._status(output, timeout)
        return output.finished(status)

    def put(self, source: Path, target: PurePosixPath) -> None:
        """See ``Shell``."""
        if source.is_dir():
            self._required(f"mkdir {shlex.quote(str(target))}")
            for entry in sorted(source.iterdir()):
                self.put(entry, target / entry.name)
            return
        path = str(target).encode()
        if len(path) > _MAX_PATH:
            raise ShellRefusedError(f"paths in this guest have at most {_MAX_PATH} bytes: {target}")
        with source.open("rb") as file, self._conversation():
            at, mode = 0, source.stat().st_mode & 0o777
            while (data := file.read(_PART)) or at == 0:
                at += self._write(path, at, mode, data, target)
                if not data:
                    break
                file.seek(at)

    def get(self, source: PurePosixPath, target: Path) -> None:
        """See ``Shell``; directories are refused."""
        try:
            with target.open("wb") as file:
                self._required(f"cat {shlex.quote(str(source))}", file)
        except ShellError:
            target.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """See ``Shell``: the port is its owner's, who closes it."""

    def _required(self, command: str, output: BinaryIO | None = None) -> None:
        """Run a command that must succeed.

        Raises:
            ShellRefusedError: it failed, with its messages.
        """
        errors = bytearray()

        def keep(data: bytes) -> None:
            if output is not None:
                output.write(data)

        if self.run(command, sink=OutputSink(keep, errors.extend)).status != 0:
            raise ShellRefusedError(errors.decode("utf-8", "replace").strip())

    def _write(self, path: bytes, at: int, mode: int, data: bytes, target: PurePosixPath) -> int:
        """Write a part of a file; return its length."""
        fields = f"path={path.hex()} data={data.hex()} at={at} mode={mode}"
        try:
            record = self._channel.ask(f"write {fields}")
        except GuestRefused as refused:
            if str(refused) == _NO_COMMAND:
                raise ShellRefusedError("this guest has no file system") from refused
            raise
        if record.name == "failed":
            why = read_bytes(record, "why").decode("utf-8", "replace")
            raise ShellRefusedError(f"{target}: {why}")
        written = read_number(record, "bytes")
        if record.name != "wrote" or written > len(data) or (data and not written):
            raise Nonsense(f"{record.name} of {written} bytes for {len(data)}")
        return written

    def _status(self, output: _Output, timeout: float | None) -> int:
        """Read the answer to its end; return the exit status."""
        deadline = None if timeout is None else self._time.monotonic() + timeout
        for number in range(1 << 32):
            left = self._silence
            if deadline is not None:
                left = min(left, deadline - self._time.monotonic())
            try:
                record = self._channel.receive_part("exit", left)
            except GuestSilent:
                if left >= self._silence:
                    raise
                left = 0.0
            if left <= 0:
                raise ShellTimeoutError(f"the command did not end within {timeout:g} s")
            if read_number(record, "n") != number:
                raise Nonsense(f"piece {read_number(record, 'n')} of an answer, expected {number}")
            if record.name == "exit":
                return read_number(record, "status") & 0xFF
            output.take(record)
        raise AssertionError("an answer without an end")

    @contextmanager
    def _conversation(self) -> Iterator[None]:
        """Begin with the answer to what was sent last; raise what ``Shell`` defines."""
        settled, self._settled = self._settled, False
        try:
            if not settled:
                self._channel.open()
            yield
            self._settled = True
        except ShellRefusedError:
            self._settled = True
            raise
        except GuestRefused as error:
            self._settled = True
            raise ShellRefusedError(f"the guest refuses the command: {error}") from error
        except (GuestGone, Detached) as error:
            raise ShellLostError(str(error) or "the guest was ended") from error
        except GuestSilent as error:
            raise ShellSilentError(str(error)) from error
        except Nonsense as error:
            raise ShellError(f"an invalid answer: {error}") from error


class _Output:
    """Collects the output of a command, or passes it on.

    Args:
        sink: receives it; None: it is kept, up to a limit.
    """

    def __init__(self, sink: OutputSink | None) -> None:
        self._kept = {"out": bytearray(), "err": bytearray()}
        self._dropped = 0
        self._sink = sink or OutputSink(
            lambda data: self._keep("out", data), lambda data: self._keep("err", data)
        )

    def take(self, record: ProbeRecord) -> None:
        """Take a piece of the answer.

        Raises:
            Nonsense: it is none.
        """
        if record.name not in self._kept:
            raise Nonsense(f"{record.name} in the answer to a command")
        data = read_bytes(record, "data")
        (self._sink.stdout if record.name == "out" else self._sink.stderr)(data)

    def finished(self, status: int) -> Completed:
        """Return the command's result."""
        out, err = (bytes(self._kept[name]) for name in ("out", "err"))
        return Completed(status, stdout=out, stderr=err, dropped=self._dropped)

    def _keep(self, name: str, data: bytes) -> None:
        room = max(0, _KEPT - sum(map(len, self._kept.values())))
        self._kept[name] += data[:room]
        self._dropped += max(0, len(data) - room)


@dataclass(frozen=True, slots=True)
class SerialShells:
    """Opens the shell of a guest on its second serial port; see ``Shells``.

    Args:
        slowness: see ``SerialShell``.
    """

    slowness: float = 1.0

    @property
    def tunables(self) -> Mapping[str, str]:
        """See ``Shells``."""
        return SERIAL_TUNABLES

    def open(self, contact: Contact, report: GuestReport, time: Clock) -> SerialShell:
        """See ``Shells``."""
        del report
        return SerialShell(contact.tap, time, self.slowness)
