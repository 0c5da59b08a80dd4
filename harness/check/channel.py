"""The channel to a guest's check module: commands, and answers in the same order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from harness.check.protocol import (
    MAX_LINE,
    NUMBERS,
    Nonsense,
    batches,
    error_of,
    line,
    read_record,
)
from harness.console.probe import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.console.events import ProbeRecord
    from harness.guest.serialtap import Tap
    from harness.host.clock import Clock

_TICK = 0.25
_HELLO_EVERY = 2.0
#: Maximum output of firmware on the serial port before the first answer, in bytes.
_MAX_PREFACE = 1 << 20
#: Maximum number of commands without an answer on a serial port.
_WINDOW = 24
#: Maximum length of an unfinished line that may become the answer to ``hello``, in bytes.
_LONGEST_GREETING = 2 * MAX_LINE


class ChannelEnded(Exception):  # noqa: N818 - a conclusion about the guest, not an error here
    """There are no more answers."""


class GuestGone(ChannelEnded):
    """The guest has ended."""


class GuestSilent(ChannelEnded):
    """The guest is running, and did not answer in time."""


class GuestRefused(ChannelEnded):
    """The guest refused a command."""


class Channel:
    """Sends commands without waiting for each answer, and returns the answers in order.

    Args:
        tap: the guest's second serial port.
        clock: the clock.
        silence: timeout of an answer, in seconds.
        window: maximum number of commands without an answer, so that no buffer overflows.
        batches: whether the guest takes several commands on a line.

    Attributes:
        window: see above.
    """

    def __init__(
        self, tap: Tap, clock: Clock, silence: float, window: int = _WINDOW, *,
        batches: bool = False,
    ) -> None:  # fmt: skip
        self._tap = tap
        self._clock = clock
        self._silence = silence
        self.window = window
        self._batches = batches
        self._lines: deque[bytes] = deque()
        self._unfinished = b""
        self._number = 0
        self._sent: deque[int] = deque()

    @property
    def outstanding(self) -> int:
        """The number of commands without an answer."""
        return len(self._sent)

    def open(self) -> ProbeRecord:
        """Send ``hello`` until the guest answers, skip all other output, return the answer.

        What was sent before has no answer then.

        Raises:
            ChannelEnded: the guest does not answer.
            Nonsense: there is too much other output.
        """
        self._lines.clear()
        self._unfinished = b""
        self._sent.clear()
        deadline = self._clock.monotonic() + self._silence
        # What is sent before this end of the port is connected is lost.
        data = self._tap.read(0) or b""
        unread, size = bytearray(), 0
        greeted = -_HELLO_EVERY
        while True:
            size += len(data)
            if size > _MAX_PREFACE:
                raise Nonsense("too much output without an answer to hello")
            lines, newline, rest = (unread + data).rpartition(b"\n")
            # Only the end of an unfinished line can become an answer.
            unread = rest[-_LONGEST_GREETING:]
            found = find_greeting(bytes(lines)) if newline else None
            if found is not None:
                return self._settled(found)
            now = self._clock.monotonic()
            if now >= deadline:
                raise GuestSilent(f"the guest did not answer hello for {self._silence:g} s")
            if now - greeted >= _HELLO_EVERY:
                self._tap.write(b"\n" + line(0, "hello"))
                greeted = now
            data = self._read() or b""

    def send(self, command: str) -> None:
        """Send a command, whose answer ``receive`` returns."""
        self._number = (self._number + 1) % NUMBERS
        self._sent.append(self._number)
        self._tap.write(line(self._number, command))

    def send_all(self, commands: Sequence[str]) -> None:
        """Send commands, to each of which ``receive`` returns an answer."""
        if not self._batches:
            for command in commands:
                self.send(command)
            return
        first = (self._number + 1) % NUMBERS
        self._sent.extend((first + place) % NUMBERS for place in range(len(commands)))
        self._number = self._sent[-1]
        self._tap.write(b"".join(batches(first, commands)))

    def receive(self, silence: float = 0.0) -> ProbeRecord:
        """Return the answer to the oldest command without one.

        Args:
            silence: timeout in seconds, if it is longer than the channel's.

        Raises:
            ChannelEnded: the guest does not answer, or refuses the command.
            Nonsense: the answer is invalid.
        """
        return self._record(self._line(max(silence, self._silence)))

    def receive_part(self, last: str, silence: float) -> ProbeRecord:
        """Return the next record of the oldest answer, which has several.

        Args:
            last: the name of the answer's last record.
            silence: timeout in seconds.

        Raises:
            ChannelEnded: the guest does not answer, or refuses the command.
            Nonsense: the answer is invalid.
        """
        number = self._sent[0]
        record = self._record(self._line(silence))
        if record.name != last:
            self._sent.appendleft(number)
        return record

    def receive_unless(self, expected: str) -> ProbeRecord | None:
        """Return the answer to the oldest command without one; None if it is the expected one.

        An answer that is as expected byte for byte is not read any further, which would take longer
        than all else.

        Args:
            expected: the answer, without its number and its checksum.

        Raises:
            ChannelEnded: the guest does not answer, or refuses the command.
            Nonsense: the answer is invalid.
        """
        text = self._line(self._silence)
        if text == line(self._sent[0], expected)[:-1]:
            self._sent.popleft()
            return None
        return self._record(text)

    def _record(self, text: bytes) -> ProbeRecord:
        record = read_record(text)
        if record.number != self._sent[0]:
            raise Nonsense(f"answer {record.number} to command {self._sent[0]}")
        self._sent.popleft()
        why = error_of(record)
        if why is not None:
            raise GuestRefused(why)
        return record

    def ask(self, command: str, silence: float = 0.0) -> ProbeRecord:
        """Send a command, and return its answer.

        Raises:
            ChannelEnded: the guest does not answer, or refuses the command.
            Nonsense: the answer is invalid.
        """
        self.send(command)
        return self.receive(silence)

    def settle(self) -> None:
        """Wait for the answers to all commands, and ignore them.

        Raises:
            ChannelEnded: the guest does not answer.
        """
        while self._sent:
            self._line(self._silence)
            self._sent.popleft()

    def _settled(self, greeting: ProbeRecord) -> ProbeRecord:
        """Skip the answers to repeated ``hello`` commands, up to that of a last one."""
        self.send("hello")
        deadline = self._clock.monotonic() + self._silence
        while self._clock.monotonic() < deadline:
            text = self._line(self._silence)
            if text.startswith(f"{MARK}{self._number:04} ".encode()):
                self._sent.clear()
                return greeting
        raise GuestSilent(f"other lines, but no answer for {self._silence:g} s")

    def _line(self, silence: float) -> bytes:
        if not self._lines:
            self._wait_for_lines(silence)
        return self._lines.popleft().rstrip(b"\r")

    def _wait_for_lines(self, silence: float) -> None:
        deadline = self._clock.monotonic() + silence
        while not self._lines:
            if len(self._unfinished) > MAX_LINE:
                raise Nonsense(f"a line of more than {MAX_LINE} bytes")
            if self._clock.monotonic() >= deadline:
                raise GuestSilent(f"no answer for {silence:g} s")
            *lines, self._unfinished = (self._unfinished + (self._read() or b"")).split(b"\n")
            self._lines.extend(lines)

    def _read(self) -> bytes | None:
        data = self._tap.read(_TICK)
        if data == b"":
            raise GuestGone("the guest has ended")
        return data


def find_greeting(lines: bytes) -> ProbeRecord | None:
    """Return the first answer to ``hello`` in complete lines, at any column."""
    for text in lines.split(b"\n"):
        at = text.find(MARK.encode())
        if at < 0:
            continue
        try:
            record = read_record(text[at:].rstrip(b"\r"))
        except Nonsense:
            continue
        if record.name == "hello":
            return record
    return None
