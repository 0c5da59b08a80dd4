"""Our end of the channel to a guest's check module: commands out, answers in, in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from harness.check.protocol import MAX_LINE, NUMBERS, Nonsense, error_of, line, read_record
from harness.console.probe import MARK

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord
    from harness.guest.tap import Tap
    from harness.host.clock import Clock

_TICK = 0.25
_HELLO_EVERY = 2.0
#: What firmware may print on all serial ports before the channel is anybody's, in bytes.
_MAX_PREFACE = 1 << 20
#: The end of a line that may still become a greeting, in bytes.
_LONGEST_GREETING = 2 * MAX_LINE


class ChannelEnded(Exception):  # noqa: N818 - says what has happened
    """There will be no more answers; the text says why."""


class GuestGone(ChannelEnded):
    """The guest has ended."""


class GuestSilent(ChannelEnded):
    """The guest runs, and has not answered in time."""


class GuestRefused(ChannelEnded):
    """The guest says that it cannot do what it was told."""


class Channel:
    """Sends commands without waiting for each answer, and gives the answers in order.

    Args:
        tap: of the guest's second serial port.
        clock: tells time.
        silence: seconds that an answer may take.
    """

    def __init__(self, tap: Tap, clock: Clock, silence: float) -> None:
        self._tap = tap
        self._clock = clock
        self._silence = silence
        self._buffer = bytearray()
        self._number = 0
        self._sent: deque[int] = deque()

    @property
    def outstanding(self) -> int:
        """How many commands have no answer yet."""
        return len(self._sent)

    def open(self) -> ProbeRecord:
        """Greet the guest, past whatever its firmware had to say; its answer.

        Raises:
            ChannelEnded: it does not answer.
            Nonsense: too much was said that is none.
        """
        deadline = self._clock.monotonic() + self._silence
        said, size = bytearray(), 0
        greeted = -_HELLO_EVERY
        while self._clock.monotonic() < deadline:
            if self._clock.monotonic() - greeted >= _HELLO_EVERY:
                self._tap.write(b"\n" + line(0, "hello"))
                greeted = self._clock.monotonic()
            data = self._read() or b""
            size += len(data)
            if size > _MAX_PREFACE:
                raise Nonsense("much was said, but no greeting")
            lines, newline, rest = (said + data).rpartition(b"\n")
            # Only the end of a line that has none yet can become a greeting.
            said = rest[-_LONGEST_GREETING:]
            found = _greeting(bytes(lines)) if newline else None
            if found is not None:
                return self._settled(found)
        raise GuestSilent(f"the check module has not answered for {self._silence:g} s")

    def send(self, command: str) -> None:
        """Tell the guest; ``receive`` gives its answer."""
        self._number = (self._number + 1) % NUMBERS
        self._sent.append(self._number)
        self._tap.write(line(self._number, command))

    def receive(self, silence: float = 0.0) -> ProbeRecord:
        """The answer to the command that was sent first of those that have none.

        Args:
            silence: seconds that it may take, if longer than usual.

        Raises:
            ChannelEnded: there is none, or the guest refuses.
            Nonsense: what came is none.
        """
        record = read_record(self._line(max(silence, self._silence)))
        if record.number != self._sent[0]:
            raise Nonsense(f"answer {record.number} to command {self._sent[0]}")
        self._sent.popleft()
        why = error_of(record)
        if why is not None:
            raise GuestRefused(why)
        return record

    def ask(self, command: str, silence: float = 0.0) -> ProbeRecord:
        """Send a command and wait for its answer; raises as ``receive``."""
        self.send(command)
        return self.receive(silence)

    def settle(self) -> None:
        """Wait for the answers to all that was sent, whatever they are.

        Raises:
            ChannelEnded: the guest does not answer.
        """
        while self._sent:
            self._line(self._silence)
            self._sent.popleft()

    def _settled(self, greeting: ProbeRecord) -> ProbeRecord:
        """Past the answers to further greetings: a mark that comes back is the last of them."""
        self.send("hello")
        deadline = self._clock.monotonic() + self._silence
        while self._clock.monotonic() < deadline:
            text = self._line(self._silence)
            if text.startswith(f"{MARK}{self._number:04} ".encode()):
                self._sent.clear()
                return greeting
        raise GuestSilent(f"other lines, but no answer for {self._silence:g} s")

    def _line(self, silence: float) -> bytes:
        deadline = self._clock.monotonic() + silence
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise Nonsense(f"a line of more than {MAX_LINE} bytes")
            if self._clock.monotonic() >= deadline:
                raise GuestSilent(f"no answer for {silence:g} s")
            self._buffer += self._read() or b""
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return text.rstrip(b"\r")

    def _read(self) -> bytes | None:
        data = self._tap.read(_TICK)
        if data == b"":
            raise GuestGone("the guest has ended")
        return data


def _greeting(said: bytes) -> ProbeRecord | None:
    """The guest's first answer in whole lines, wherever in one it begins."""
    for text in said.split(b"\n"):
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
