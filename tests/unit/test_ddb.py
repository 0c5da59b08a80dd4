"""Questions to DDB: answers are told from prompts and echoes, and a hostile guest is bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.debug import ddb
from harness.debug.ddb import AnswerReader, await_prompt, interrogate, parse_commands
from harness.errors import UsageError
from harness.host.clock import ManualClock

PROMPT = "db> "


@dataclass
class Debugger:
    """A DDB at the other end of the line: echoes, answers, prompts; see ``Tap``.

    Args:
        clock: advanced by reads that find nothing.
        answers: what commands print.
        piece: bytes that a read returns at most.
    """

    clock: ManualClock
    answers: Mapping[str, str] = field(default_factory=dict)
    piece: int = 7
    typed: list[str] = field(default_factory=list)
    output: bytes = b""
    partial: str = ""

    def write(self, data: bytes) -> None:
        self.partial += data.decode()
        while "\n" in self.partial:
            line, _, self.partial = self.partial.partition("\n")
            self.typed.append(line)
            self.say(f"{line}\r\n{self.answer(line)}{PROMPT}")

    def answer(self, line: str) -> str:
        if line.startswith("print/x "):
            return f"{sum(int(word, 16) for word in line[8:].split(' + ')):8x}\r\n"
        return self.answers.get(line, "")

    def say(self, text: str) -> None:
        self.output += text.encode()

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        data, self.output = self.output[: self.piece], self.output[self.piece :]
        if not data:
            self.clock.sleep(max(timeout, 0.01))
        return data or None


class Interruptible(Debugger):
    """One in which a command without an answer hangs until Ctrl-C, or for good."""

    comes_back = True

    def write(self, data: bytes) -> None:
        if data == b"\x03":
            if self.comes_back:
                self.say(f"^C\r\n{PROMPT}")
            return
        if data.strip() == b"endless":
            self.typed.append("endless")
            self.say("endless\r\nline 1\r\n")
            return
        super().write(data)


def asked(debugger: Debugger, *commands: str) -> ddb.DdbSession:
    return interrogate(debugger, commands, debugger.clock)


def test_each_command_has_its_answer_without_echo_and_prompt() -> None:
    debugger = Debugger(
        ManualClock(), {"bt": "one()\r\ntwo()\r\n", "show uma": "  64 zones\r\n\r\nend\r\n"}
    )
    session = asked(debugger, "bt", "show uma", "nothing")
    assert [(each.command, each.output) for each in session.answers] == [
        ("bt", "one()\ntwo()"), ("show uma", "  64 zones\n\nend"), ("nothing", ""),
    ]  # fmt: skip
    assert session.note == ""
    assert all(each.note == "" for each in session.answers)


def test_paging_is_off_before_the_first_command() -> None:
    debugger = Debugger(ManualClock())
    asked(debugger, "bt")
    own = [line for line in debugger.typed if line and not line.startswith("print/x")]
    assert own == ["set $lines = 0", "bt"]


@pytest.mark.parametrize("piece", [1, 3, 4096])
def test_a_prompt_within_the_output_ends_nothing(piece: int) -> None:
    printed = "before\r\ndb> bt\r\ndb> \r\nafter\r\n"
    debugger = Debugger(ManualClock(), {"show msgbuf": printed, "bt": "own\r\n"}, piece)
    session = asked(debugger, "show msgbuf", "bt")
    assert session.answers[0].output == "before\ndb> bt\ndb> \nafter"
    assert session.answers[1].output == "own"


class Swallowing(Debugger):
    """One that drops what is typed while it prints, as ``db_check_interrupt()`` does."""

    def write(self, data: bytes) -> None:
        if not self.output:
            super().write(data)


def test_what_is_typed_at_a_false_prompt_may_be_lost() -> None:
    debugger = Swallowing(ManualClock(), {"show msgbuf": "x\r\ndb> \r\ny\r\n"}, piece=1)
    assert asked(debugger, "show msgbuf").answers[0].output == "x\ndb> \ny"


def test_a_kernel_without_ddb_is_told_in_words() -> None:
    class Mute(Debugger):
        def write(self, data: bytes) -> None:
            pass

    session = asked(Mute(ManualClock()), "bt")
    assert session.answers == ()
    assert "the kernel has no DDB" in session.note


def test_a_guest_that_ends_is_told() -> None:
    class Ending(Debugger):
        def read(self, timeout: float, also: int | None = None) -> bytes | None:
            return super().read(timeout) if "reset" not in self.typed else b""

    session = asked(Ending(ManualClock()), "bt", "reset", "ps")
    assert [each.note for each in session.answers] == ["", "the guest has ended"]
    assert session.note == "the guest has ended; 1 more commands were not typed"


def test_an_endless_command_is_interrupted_and_the_next_one_is_asked() -> None:
    session = asked(Interruptible(ManualClock(), {"bt": "one()\r\n"}), "endless", "bt")
    assert session.answers[0].output == "line 1"
    assert session.answers[0].note == "no end of the answer within 60 s"
    assert session.answers[1].output == "one()"


def test_a_command_that_cannot_be_interrupted_is_the_last() -> None:
    debugger = Interruptible(ManualClock())
    debugger.comes_back = False
    session = asked(debugger, "endless", "bt", "ps")
    assert [each.command for each in session.answers] == ["endless"]
    assert "2 more commands were not typed" in session.note
    assert "bt" not in debugger.typed


class Flooding(Debugger):
    """One that prints without end, prompts among it, and reads nothing."""

    started = False

    def write(self, data: bytes) -> None:
        self.started = self.started or data.startswith(b"flood")
        if not self.started:
            super().write(data)

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        if self.started:
            self.clock.sleep(0.0001)
            return b"\r\ndb> " * 10000
        return super().read(timeout)


def test_a_flood_with_prompts_is_bounded() -> None:
    session = asked(Flooding(ManualClock()), "flood", "bt")
    assert len(session.answers) == 1
    assert len(session.answers[0].output) <= ddb.MOST_OUTPUT
    assert "more than 8 MiB of output" in session.answers[0].note
    assert "cut after 256 KiB" in session.answers[0].note


def test_a_long_answer_is_cut_and_the_next_one_is_whole() -> None:
    long = "0123456789abcde\r\n" * 40000
    debugger = Debugger(ManualClock(), {"alltrace": long, "bt": "one()\r\n"}, piece=4096)
    session = asked(debugger, "alltrace", "bt")
    assert session.answers[0].note == "cut after 256 KiB"
    assert len(session.answers[0].output) <= ddb.MOST_OUTPUT
    assert session.answers[1].output == "one()"


@given(st.binary(max_size=300), st.integers(1, 20))
def test_any_bytes_are_bounded_in_time_and_size(noise: bytes, piece: int) -> None:
    class Noisy(Debugger):
        def write(self, data: bytes) -> None:
            self.output += noise

    clock = ManualClock()
    session = asked(Noisy(clock, piece=piece), "bt", "ps")
    assert clock.monotonic() < 4 * (ddb.COMMAND_SECONDS + ddb.PROMPT_SECONDS)
    assert all(len(each.output) <= ddb.MOST_OUTPUT for each in session.answers)


LINES = st.lists(
    st.sampled_from(["db> ", "db> bt", "", "one()", "  4", "--More--", "print/x 0x1 + 0x2", "3"])
)


@given(LINES, st.integers(1, 9))
def test_every_answer_comes_back_as_it_was_printed(lines: list[str], piece: int) -> None:
    printed = "".join(f"{line}\r\n" for line in lines)
    debugger = Debugger(ManualClock(), {"show it": printed}, piece)
    (answer,) = asked(debugger, "show it").answers
    assert answer.output == "\n".join(lines).strip("\n")
    assert answer.note == ""


def test_a_forged_sum_needs_the_random_numbers() -> None:
    numbers: Callable[[], tuple[int, int]] = lambda: (0x10, 0x20)  # noqa: E731 - a parameter
    reader = AnswerReader("x", summands=numbers)
    assert reader.feed(b"x\r\ndb> ") == b"print/x 0x10 + 0x20\n"
    reader.feed(b"print/x 0x10 + 0x20\r\n     31\r\ndb> ")
    assert not reader.done
    reader.feed(b"print/x 0x10 + 0x20\r\n     30\r\ndb> ")
    assert reader.done


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("bt", ("bt",)),
        ("show uma; show pageq;bt ;", ("show uma", "show pageq", "bt")),
    ],
)
def test_semicolons_separate_commands(text: str, commands: tuple[str, ...]) -> None:
    assert parse_commands(text) == commands


@pytest.mark.parametrize(
    "text", ["", " ; ", "a" * 101, "bt\x03", "b\nt", "zeige ü", ";".join("a" * 65)]
)
def test_what_cannot_be_typed_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_commands(text)


class Entering(Debugger):
    """One that is entered while its kernel still prints, and has typed nothing before."""

    printed = (
        "KDB: enter: panic\r\n[ thread pid 0 tid 100000 ]\r\nStopped at      kdb_enter+0x37\r\n"
    )

    def write(self, data: bytes) -> None:
        self.say(self.printed)
        super().write(data)


def test_a_guest_that_enters_the_debugger_is_waited_for_up_to_the_prompt() -> None:
    debugger = Entering(ManualClock())
    assert await_prompt(debugger, debugger.clock)
    assert debugger.output == b""


class Silent(Debugger):
    """A kernel without a debugger, whose output has the prompt's text."""

    def write(self, data: bytes) -> None:
        self.say("db> db> \r\n")


def test_a_guest_that_does_not_enter_it_is_waited_for_for_ten_seconds() -> None:
    debugger = Silent(ManualClock())
    assert not await_prompt(debugger, debugger.clock)
    assert 10 <= debugger.clock.monotonic() < 11
