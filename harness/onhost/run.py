"""Runs a host program in the sandbox, within limits, connected by two pipes."""

from __future__ import annotations

import contextlib
import functools
import os
import select
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.check.channel import GuestGone, GuestSilent
from harness.check.protocol import MAX_LINE, Nonsense, error_of, line, read_record
from harness.host.memorylimit import MemoryLimit
from harness.host.sandbox import Sandbox
from harness.onhost.ending import EndingKind, HostEnding, Symbols, ending_of_status, read_ending

if TYPE_CHECKING:
    from harness.host.process import Process, Runner
    from harness.onhost.layout import HostLayout
    from harness.onhost.programs import HostProgram

_CHUNK: Final = 1 << 16
#: Timeout for a program to read its input, in seconds; a busy loop is ended sooner.
_TAKES: Final = 60.0
#: Timeout for a program to exit, in seconds.
_LEAVES: Final = 10.0
_LAST_WORDS: Final = b"!end "
_TRIED: Final = b"!tried\n"
_SYNCED: Final = b"!synced\n"
_JOINED: Final = b"!joined\n"
_KILLED: Final = HostEnding(EndingKind.SIGNAL, "SIGKILL")
_OVER: Final = HostEnding(EndingKind.MEMORY, "the host program took more memory than it may")


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of commands in a copy of the program.

    Args:
        notes: lines that are no answers, such as switch points.
        fields: of the last answer, by name; empty if the copy has ended before.
        ending: how the copy ended; None if it has done what it was told.
    """

    notes: tuple[str, ...]
    fields: Mapping[str, str]
    ending: HostEnding | None = None


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Limits of a program.

    Args:
        memory: maximum memory, in bytes.
        patience: maximum CPU time of one operation, in seconds.
        silence: timeout of an answer, in seconds.
        grouped: whether a cgroup limits its memory, if one can be made.
    """

    memory: int = 1 << 30
    patience: int = 3
    silence: float = 60.0
    grouped: bool = True


@dataclass(frozen=True, slots=True)
class ProgramRunner:
    """Starts a host program.

    Args:
        program: the program.
        layout: its machine.
        runner: starts processes.
        scratch: the only directory that it can write to.
        sandboxed: whether it runs in the sandbox.
        limits: its limits.
    """

    program: HostProgram
    layout: HostLayout
    runner: Runner
    scratch: Path
    sandboxed: bool = True
    limits: ProgramLimits = ProgramLimits()

    @contextlib.contextmanager
    def started(self) -> Iterator[HostTap]:
        """Start the program; it is ended after the context."""
        to_program, commands = os.pipe()
        answers, from_program = os.pipe()
        with contextlib.ExitStack() as held:
            for descriptor in (commands, answers):
                held.callback(os.close, descriptor)
            with contextlib.ExitStack() as theirs:
                for descriptor in (to_program, from_program):
                    theirs.callback(os.close, descriptor)
                limit = held.enter_context(
                    MemoryLimit(self.limits.memory, grouped=self.limits.grouped)
                )
                process = self.runner.spawn(
                    limit.words(self.words(to_program, from_program)),
                    cwd=self.scratch, pass_fds=(to_program, from_program),
                )  # fmt: skip
                held.callback(process.kill)
                limit.watch(process)
            symbols = functools.cache(self.program.symbols)
            yield HostTap(commands, answers, process, limit, symbols)

    def words(self, to_program: int, from_program: int) -> list[str | Path]:
        """The command line, with the descriptors of commands and answers."""
        words: list[str | Path] = [
            "prlimit", "--core=0", "--",
            self.program.path, str(to_program), str(from_program), *self.layout.words,
            str(self.limits.patience),
        ]  # fmt: skip
        if not self.sandboxed:
            return words
        return Sandbox((self.program.directory,), (self.scratch,)).words(words, self.scratch)


class HostTap:
    """The channel to a program, as ``harness.guest.serialtap.Tap`` has it; see ``ProgramRunner``.

    Args:
        commands: descriptor of what is written to it.
        answers: descriptor of what it writes.
        process: the program.
        limit: of its memory.
        symbols: gives its functions.

    Attributes:
        ending: how it ended; None while it runs.
    """

    def __init__(
        self,
        commands: int,
        answers: int,
        process: Process,
        limit: MemoryLimit,
        symbols: Callable[[], Symbols],
    ) -> None:
        os.set_blocking(commands, False)
        self._commands = commands
        self._answers = answers
        self._process = process
        self._limit = limit
        self._symbols = symbols
        self._unread = bytearray()
        self._unsent = bytearray()
        self.ending: HostEnding | None = None

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``: whole lines but for the program's last words, which become ``ending``.

        Raises:
            Nonsense: its last words are none, or a line is longer than any.
        """
        self._send()
        if self.ending is not None:
            return b""
        others = [] if also is None else [also]
        readable, _, _ = select.select([self._answers, *others], [], [], max(0.0, timeout))
        if self._answers not in readable:
            return None
        data = os.read(self._answers, _CHUNK)
        if not data:
            self.ending = self._ended()
            return b""
        self._unread += data
        return self._lines()

    def write(self, data: bytes) -> None:
        """See ``Tap``: sent when something is read, so that the two do not wake each other for
        each line.
        """
        self._unsent += data
        if len(self._unsent) > _CHUNK:
            self._send()

    def _send(self) -> None:
        """What the program does not take, because it has ended or hangs, is lost."""
        view = memoryview(bytes(self._unsent))
        self._unsent.clear()
        while view and self.ending is None:
            _, writable, _ = select.select([], [self._commands], [], _TAKES)
            if not writable:
                return
            try:
                view = view[os.write(self._commands, view) :]
            except BrokenPipeError:
                return

    def fork(self) -> None:
        """Have all that follows done in a copy of the program, up to ``join`` or its end."""
        self.write(b"!fork\n")

    def join(self) -> None:
        """End a copy of the program that has done what it was told."""
        self.write(b"!join\n")
        self._read_up_to(_JOINED)

    def quiet(self, places: Iterable[int]) -> None:
        """Have accesses of memory count as ordered, by the addresses of code after them."""
        for place in places:
            self.write(b"!quiet %x\n" % place)

    def tried(self, commands: Sequence[Sequence[str]], silence: float) -> list[Tried]:
        """Run lists of commands, each list in a copy of its own of the program as it is now.

        Args:
            commands: few enough to be sent at once.
            silence: timeout of each, in seconds.

        Raises:
            GuestGone: the program has ended.
            GuestSilent: it does not answer.
            Nonsense: its answers are invalid.
        """
        for number, each in enumerate(commands, start=1):
            self.write(b"!try " + b"\t".join(line(number, one)[:-1] for one in each) + b"\n")
        self._send()
        said = bytearray()
        while said.count(_TRIED) < len(commands):
            readable, _, _ = select.select([self._answers], [], [], silence)
            if not readable:
                raise GuestSilent(f"no answer for {silence:g} s")
            data = os.read(self._answers, _CHUNK)
            if not data:
                self.ending = self._ended()
                raise GuestGone("the program has ended")
            said += data
        parts = said.decode("ascii", "replace").split(_TRIED.decode())
        return [self._read_tried(part) for part in parts[: len(commands)]]

    def _read_tried(self, text: str) -> Tried:
        notes, fields, ending = [], {}, None
        for each in text.splitlines():
            if each.startswith(_LAST_WORDS.decode()):
                ending = read_ending(each, self._symbols())
                if ending == _KILLED and self._limit.met:
                    ending = _OVER
            elif each.startswith("!"):
                notes.append(each)
            else:
                record = read_record(each.encode())
                if error_of(record) is not None:
                    raise Nonsense(f"a command is refused: {error_of(record)}")
                fields = dict(record.fields)
        return Tried(tuple(notes), fields, ending)

    def resume(self) -> bool:
        """Go on with the program after a copy of it has ended; false: it has ended as well."""
        if self._process.poll() is not None or self.ending is None:
            return False
        self.ending = None
        self._unread.clear()
        self._unsent[:] = b"!sync\n"
        return self._read_up_to(_SYNCED)

    def _read_up_to(self, line: bytes) -> bool:
        """Whether the program writes that line before it ends."""
        said = b""
        while not said.endswith(line):
            data = self.read(_LEAVES)
            if not data:
                return False
            said += data
        return True

    def end(self, kind: EndingKind, text: str) -> None:
        """End a program that does not end by itself, and say of what."""
        self._process.kill()
        self.ending = self.ending or HostEnding(kind, text)

    def _lines(self) -> bytes:
        """The whole lines that were read; last words are told apart."""
        lines, newline, rest = bytes(self._unread).rpartition(b"\n")
        if len(rest) > 2 * MAX_LINE:
            raise Nonsense(f"a line of more than {2 * MAX_LINE} bytes")
        self._unread = bytearray(rest)
        at = lines.rfind(_LAST_WORDS)
        if at < 0 or (at > 0 and lines[at - 1 : at] != b"\n"):
            return lines + newline
        said = lines[at:].decode("ascii", "replace")
        self.ending = read_ending(said, self._symbols())
        if self.ending == _KILLED and self._limit.met:  # a copy was
            self.ending = _OVER
        return lines[:at]

    def _ended(self) -> HostEnding:
        status = self._process.wait(_LEAVES)
        if self._limit.met:
            return _OVER
        self._process.kill()
        return ending_of_status(status)
