"""Commands typed at the kernel's debugger, DDB, on the serial console.

The end of an answer is not the prompt, which the output can contain (``show msgbuf``). After each
prompt, an addition is typed whose result the output cannot contain, as it is random; its answer
ends the command's. What answers may be a hostile guest, so that time and size of each answer are
limited. Nothing of it becomes an event of the console.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.guest.serialtap import Tap
    from harness.host.clock import Clock

DEFAULT_COMMANDS: Final = (
    "bt", "show uma", "show umacache", "show malloc", "show pageq", "show freepages", "ps",
    "alltrace",
)  # fmt: skip
"""What is asked if no commands are named: the panicked thread, the allocators, the page queues, all
threads."""

COMMAND_SECONDS: Final = 60.0
"""Timeout of an answer, on a fast accelerator; ``alltrace`` of 50 threads took 11 s under TCG."""

PROMPT_SECONDS: Final = 10.0
"""Timeout of the first prompt, and of the prompt after Ctrl-C."""

MOST_OUTPUT: Final = 256 * 1024
"""Most bytes of an answer that are kept."""

FLOOD: Final = 8 << 20
"""Bytes after which an answer is given up."""

_MOST_COMMANDS: Final = 64
_LONGEST: Final = 100  # DB_MAXLINE is 120 (sys/ddb/db_lex.h)
_PROMPT: Final = re.compile(rb"(?:^|[\r\n])db> \Z")
_TAIL: Final = 512
_MOST_ADDITIONS: Final = 32
_INTERRUPT: Final = b"\x03"
_TICK: Final = 0.5

#: Stops DDB from waiting after each page (sys/ddb/db_output.c).
_WITHOUT_PAGES: Final = "set $lines = 0"


@dataclass(frozen=True, slots=True)
class DdbAnswer:
    """The answer to a command.

    Args:
        command: the command.
        output: what DDB printed.
        note: what is missing, and why; empty if nothing is.
    """

    command: str
    output: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class DdbSession:
    """The answers to all commands.

    Args:
        answers: an answer to each command that was typed, in order.
        note: why commands were not typed; empty if all were.
    """

    answers: tuple[DdbAnswer, ...] = ()
    note: str = ""


def parse_commands(text: str) -> tuple[str, ...]:
    """Return the commands of a text, in which semicolons separate them.

    Raises:
        UsageError: there is none, there are too many, or one cannot be typed.
    """
    commands = tuple(word for part in text.split(";") if (word := part.strip()))
    if not commands or len(commands) > _MOST_COMMANDS:
        raise UsageError(
            f"--ddb {text!r} has {len(commands)} commands",
            remedy=f"name 1 to {_MOST_COMMANDS}, as in --ddb 'bt; show uma'",
        )
    for command in commands:
        if len(command) > _LONGEST or not (command.isascii() and command.isprintable()):
            raise UsageError(
                f"the DDB command {command!r} cannot be typed",
                remedy=f"use at most {_LONGEST} printable ASCII characters (ddb(4))",
            )
    return commands


@dataclass(frozen=True, slots=True)
class Addition:
    """An addition that is typed at a prompt: its text, and the result that DDB prints."""

    text: bytes
    result: bytes

    @classmethod
    def of(cls, first: int, second: int) -> Addition:
        """Return the addition of two numbers."""
        return cls(b"print/x 0x%x + 0x%x" % (first, second), b"%x" % (first + second))

    @property
    def answered(self) -> re.Pattern[bytes]:
        """Its echo with its result, and the prompts around them."""
        text = re.escape(self.text)
        return re.compile(rb"(?:db> )?" + text + rb"[\r\n]+ *" + self.result + rb"[\r\n]+(?:db> )?")


@dataclass(slots=True)
class AnswerReader:
    """Reads the answer to one command.

    Args:
        command: the command, which DDB echoes.
        earlier: additions that were typed before; their answers may come late.
        summands: returns two random numbers.

    Attributes:
        size: bytes of output so far.
        done: whether the answer is complete.
    """

    command: str
    earlier: Sequence[Addition] = ()
    summands: Callable[[], tuple[int, int]] = lambda: (_random(), _random())
    size: int = field(default=0, init=False)
    done: bool = field(default=False, init=False)
    additions: list[Addition] = field(default_factory=list, init=False)
    _kept: bytearray = field(default_factory=bytearray, init=False)
    _tail: bytes = field(default=b"", init=False)

    def feed(self, data: bytes) -> bytes:
        """Process output; return what is to be typed."""
        self.size += len(data)
        self._kept += data[: max(0, MOST_OUTPUT + _TAIL - len(self._kept))]
        self._tail = (self._tail + data)[-_TAIL:]
        if _PROMPT.search(self._tail) is None:
            return b""
        if any(each.answered.search(self._tail) for each in self.additions):
            self.done = True
        elif len(self.additions) < _MOST_ADDITIONS:
            self.additions.append(Addition.of(*self.summands()))
            return self.additions[-1].text + b"\n"
        return b""

    def answer(self, note: str = "") -> DdbAnswer:
        """Return what was read so far, without echo, prompts and additions."""
        text = bytes(self._kept)
        if self.done:
            ends = (each.answered.search(text) for each in self.additions)
            text = text[: min((end.start() for end in ends if end), default=len(text))]
        for each in (*self.earlier, *self.additions):
            text = each.answered.sub(b"", text)
            text = text.replace(each.text, b"")
        if len(text) > MOST_OUTPUT:
            text = text[:MOST_OUTPUT]
            cut = f"cut after {MOST_OUTPUT >> 10} KiB"
            note = f"{note}; {cut}" if note else cut
        shown = text.decode("utf-8", "replace").replace("\r", "")
        shown = shown.removeprefix(self.command).strip("\n")
        return DdbAnswer(self.command, shown, note)


def _random() -> int:
    return random.SystemRandom().randrange(1 << 28, 1 << 30)


def interrogate(
    tap: Tap, commands: Sequence[str], clock: Clock, slowness: float = 1.0
) -> DdbSession:
    """Type commands at the debugger's prompt, and return the answers.

    Args:
        tap: the console of a guest that has entered DDB.
        commands: the commands.
        clock: measures timeouts.
        slowness: factor of all timeouts.
    """
    line = _Line(tap, clock, slowness)
    if why := line.begin():
        return DdbSession((), why)
    answers = tuple(line.answers(commands))
    left = len(commands) - len(answers)
    note = f"{answers[-1].note}; {left} more commands were not typed" if left and answers else ""
    return DdbSession(answers, note)


def await_prompt(tap: Tap, clock: Clock, slowness: float = 1.0) -> bool:
    """Wait until a guest that enters its debugger is there; return whether it came to the prompt.

    It announces that some instructions before, and gdb cannot follow the entry of a trap.
    """
    tap.write(b"\n")  # the prompt may have been read before
    tail, until = b"", clock.monotonic() + PROMPT_SECONDS * slowness
    while not _PROMPT.search(tail):
        left = until - clock.monotonic()
        data = tap.read(min(left, _TICK)) if left > 0 else b""
        if data == b"":
            return False
        tail = (tail + (data or b""))[-_TAIL:]
    return True


@dataclass(frozen=True, slots=True)
class _Line:
    tap: Tap
    clock: Clock
    slowness: float
    additions: list[Addition] = field(default_factory=list)

    def begin(self) -> str:
        """Wait for the prompt, and turn paging off; return why that failed, or nothing."""
        reader = AnswerReader("", self.additions)
        self.tap.write(b"\n")  # the prompt may have been read before
        why = self._read(reader, PROMPT_SECONDS)
        if why:
            return (
                f"the debugger did not answer ({why}): the kernel has no DDB, or did not enter it"
            )
        why = self._ask(_WITHOUT_PAGES, COMMAND_SECONDS)[1]
        return f"the debugger did not answer ({why})" if why else ""

    def answers(self, commands: Sequence[str]) -> Iterator[DdbAnswer]:
        """Generate the answers; end when the debugger no longer answers."""
        for command in commands:
            reader, why = self._ask(command, COMMAND_SECONDS)
            yield reader.answer(why)
            if why and not self._interrupted():
                return

    def _ask(self, command: str, seconds: float) -> tuple[AnswerReader, str]:
        reader = AnswerReader(command, tuple(self.additions))
        self.tap.write(command.encode("ascii") + b"\n")
        return reader, self._read(reader, seconds)

    def _interrupted(self) -> bool:
        """Interrupt a command; return whether the prompt has come back."""
        self.tap.write(_INTERRUPT)
        return not self._read(AnswerReader("", self.additions), PROMPT_SECONDS)

    def _read(self, reader: AnswerReader, seconds: float) -> str:
        """Read until the answer is complete; return why it is not, or nothing."""
        until = self.clock.monotonic() + seconds * self.slowness
        while not reader.done:
            left = until - self.clock.monotonic()
            if left <= 0:
                return f"no end of the answer within {seconds * self.slowness:.0f} s"
            if reader.size > FLOOD:
                return f"more than {FLOOD >> 20} MiB of output"
            data = self.tap.read(min(left, _TICK))
            if data == b"":
                return "the guest has ended"
            if data and (typed := reader.feed(data)):
                self.additions.append(reader.additions[-1])
                self.tap.write(typed)
        return ""
