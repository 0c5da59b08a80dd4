"""One command over an SSH connection, from its start to its end."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.host.workspace import unique
from harness.shell.shell import Completed, OutputSink, ShellError, ShellLostError, ShellTimeoutError
from harness.shell.ssh.wire import TICK

if TYPE_CHECKING:
    import paramiko

    from harness.shell.ssh.link import SshLink

KEPT_BYTES: Final = 1 << 20
"""Most bytes of each output that a result has: the first and the last half of so many."""

_LINGER_SECONDS: Final = 1.0
"""How long after a command's end its output may pause; children left behind can hold it open."""

_GRACE_SECONDS: Final = 2.0
"""Seconds from each signal to a command that takes too long to the next step."""

_PING_SECONDS: Final = 15.0
"""Silence after which the server must show that it is still there, in seconds of the guest's."""

_ANSWER_SECONDS: Final = 60.0
_CHUNK: Final = 1 << 16
_MOST_BEFORE_MARK: Final = 1 << 16

_PLAIN: Final = re.compile(r"[ -~]*", re.ASCII)
_HISTORY: Final = "!"


class CommandRun:
    """Runs a command and takes its output.

    Args:
        link: the connection.
        sink: receives the output; None keeps some of it for the result.
        stdin: pieces of the command's standard input, which ends after them.
        timeout: most seconds of the guest's; None for no limit.
    """

    def __init__(
        self, link: SshLink, sink: OutputSink | None, stdin: Iterable[bytes], timeout: float | None
    ) -> None:
        self._link = link
        self._kept = (KeptOutput(KEPT_BYTES), KeptOutput(KEPT_BYTES))
        self._sink = sink or OutputSink(self._kept[0].add, self._kept[1].add)
        self._completed: Completed | None = None
        self._stdin = iter(stdin)
        self._pending: memoryview | None = memoryview(b"")
        self._timeout = timeout
        self._begun = self._heard = self._output = link.clock.monotonic()
        self._received = 0
        self._marked = MarkedOutput(unique())

    def run(self, command: str) -> Completed:
        """Run a command line of sh(1), whatever the account's login shell.

        Raises:
            ShellError: it did not end.
            UsageError: it has a NUL character.
        """
        takers = (self._sink.stdout, self._sink.stderr)
        for number, data in self.stream(command):
            takers[number](data)
        return self.completed

    @property
    def completed(self) -> Completed:
        """The command's end.

        Raises:
            ShellLostError: it has not ended.
        """
        if self._completed is None:
            raise ShellLostError("the command has not ended")
        return self._completed

    def stream(self, command: str) -> Iterator[tuple[int, bytes]]:
        """Run a command line and generate its output, each piece with 0 or, for errors, 1.

        Raises:
            ShellError: it did not end.
            UsageError: it has a NUL character.
        """
        line = f"{self._marked.command}; {sh_command(command)}"
        channel = self._link.open_channel()
        try:
            with self._link.request("start a command"):
                channel.exec_command(line)
            yield from self._follow(channel)
            self._completed = self._end(channel)
        finally:
            # A lost connection has been reported already.
            with contextlib.suppress(ShellError), self._link.request("close a session"):
                channel.close()

    def _end(self, channel: paramiko.Channel) -> Completed:
        out, err = self._kept
        signal = self._signal(channel)
        return Completed(
            None if signal else channel.exit_status,
            signal, out.content, err.content, out.dropped + err.dropped,
        )  # fmt: skip

    def _follow(self, channel: paramiko.Channel) -> Iterator[tuple[int, bytes]]:
        """Pass input and output on until the command has ended."""
        while True:
            self._link.transport.wake.clear()
            ended, closed = self._has_ended(channel), channel.closed
            pieces = self._received_pieces(channel)
            yield from pieces
            if not pieces and ended and (closed or channel.eof_received or self._lingered()):
                yield from self._marked.rest()
                return
            if not pieces and closed:
                self._link.require()
                raise ShellLostError("the server ended the session without an exit status")
            moved = bool(pieces)
            if not ended:
                moved = self._feed(channel) or moved
                self._require_time(channel)
            if not moved:
                self._link.require()
                self._ping()
                self._link.transport.wake.wait(TICK)

    def _has_ended(self, channel: paramiko.Channel) -> bool:
        return channel.exit_status >= 0 or bool(self._signal(channel))

    def _signal(self, channel: paramiko.Channel) -> str:
        return self._link.transport.signals.get(channel.get_id(), "")

    def _lingered(self) -> bool:
        return self._link.clock.monotonic() - self._output >= _LINGER_SECONDS

    def _received_pieces(self, channel: paramiko.Channel) -> list[tuple[int, bytes]]:
        out = err = b""
        with self._link.request("read a command's output"):
            if channel.recv_ready():
                out = channel.recv(_CHUNK)
            if channel.recv_stderr_ready():
                err = channel.recv_stderr(_CHUNK)
        if out or err:
            self._output = self._link.clock.monotonic()
        pieces = ((0, self._marked.take(out)), (1, err))
        return [(number, data) for number, data in pieces if data]

    def _feed(self, channel: paramiko.Channel) -> bool:
        """Send what the server takes of the input; return whether any."""
        moved = False
        while self._pending is not None and channel.send_ready():
            if not self._pending:
                piece = next(self._stdin, None)
                self._pending = None if piece is None else memoryview(piece)
            try:
                with self._link.request("write a command's input"):
                    if self._pending is None:
                        channel.shutdown_write()
                    elif self._pending:
                        sent = channel.send(bytes(self._pending[:_CHUNK]))
                        self._pending = self._pending[sent:]
                        moved = True
            except ShellError:
                if not self._link.alive:
                    raise
                self._pending = None  # the command has ended
        return moved

    def _require_time(self, channel: paramiko.Channel) -> None:
        now = self._link.clock.monotonic()
        if self._timeout is None or now < self._begun + self._timeout:
            return
        self._kill(channel)
        raise ShellTimeoutError(f"the command did not end within {self._timeout:g} s")

    def _kill(self, channel: paramiko.Channel) -> None:
        """Kill the command's process group, as far as the guest still can.

        A command does it, because sshd(8) passes no signals to root's processes.
        """
        for name in ("TERM", "KILL"):
            if self._marked.group is None:
                return
            with contextlib.suppress(ShellError):
                kill = CommandRun(self._link, None, (), None)
                kill.run(f"kill -{name} -{self._marked.group}")
            until = self._link.clock.monotonic() + _GRACE_SECONDS
            while not self._has_ended(channel) and self._link.clock.monotonic() < until:
                self._link.require()
                self._link.transport.wake.wait(TICK)
                self._link.transport.wake.clear()

    def _ping(self) -> None:
        now = self._link.clock.monotonic()
        if self._link.received != self._received:
            self._received, self._heard = self._link.received, now
        if now - self._heard < _PING_SECONDS:
            return
        left = _ANSWER_SECONDS
        if self._timeout is not None:
            left = min(left, max(0.0, self._begun + self._timeout - now))
        self._link.ping(left)


class MarkedOutput:
    """Takes the number of a command's process group out of the beginning of its output.

    Args:
        word: a word that the output cannot have by chance.

    Attributes:
        group: the number; None if it has not come.
    """

    def __init__(self, word: str) -> None:
        self.command = f"echo {word} $$"
        self._line = re.compile(rf"^{word} (\d{{1,9}})\r?\n".encode(), re.MULTILINE)
        self._held: bytes | None = b""
        self.group: int | None = None

    def take(self, data: bytes) -> bytes:
        """Return what of the output can be passed on."""
        if self._held is None:
            return data
        self._held += data
        found = self._line.search(self._held)
        if found is None and len(self._held) < _MOST_BEFORE_MARK:
            return b""
        passed, self._held = self._held, None
        if found is None:
            return passed
        self.group = int(found[1])
        return passed[: found.start()] + passed[found.end() :]

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Generate the output of a login shell that did not get to the mark."""
        if self._held:
            yield 0, self._held
        self._held = None


class KeptOutput:
    """The first and the last bytes of an output.

    Args:
        most: how many bytes to keep at most.

    Attributes:
        dropped: bytes between them that were not kept.
    """

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._first = bytearray()
        self._last = bytearray()
        self.dropped = 0

    def add(self, data: bytes) -> None:
        """Take more output."""
        room = self._half - len(self._first)
        self._first += data[:room]
        self._last += data[room:]
        if len(self._last) > 2 * self._half:  # not at each piece: it moves all that is kept
            self._trim()

    @property
    def content(self) -> bytes:
        """What was kept."""
        self._trim()
        return bytes(self._first + self._last)

    def _trim(self) -> None:
        excess = max(0, len(self._last) - self._half)
        self.dropped += excess
        del self._last[:excess]


def sh_command(command: str) -> str:
    """Return a line by which any login shell runs a command line of sh(1) in its own place.

    csh(1) takes neither newlines nor ``!`` in quotes, so printf(1) makes them.

    Raises:
        UsageError: the command has a NUL character, which no argument can have.
    """
    if "\0" in command:
        raise UsageError("a command with a NUL character", remedy="write it as \\0 for printf(1)")
    if _PLAIN.fullmatch(command) and _HISTORY not in command:
        return f"exec /bin/sh -c {shlex.quote(command)}"
    octal = "".join(_octal(command.encode("utf-8", "surrogateescape")))
    return f"""exec /bin/sh -c 'eval "$(printf %b "$1")"' sh '{octal}'"""


def _octal(data: bytes) -> Iterator[str]:
    for byte in data:
        character = chr(byte)
        plain = character.isascii() and (character.isalnum() or character in " _./-=")
        yield character if plain else f"\\0{byte:03o}"
