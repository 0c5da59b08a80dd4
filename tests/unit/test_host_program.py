"""Host programs: whatever one does, its end is told, and nothing is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.arch import GUEST
from harness.check.channel import GuestGone
from harness.check.protocol import Nonsense
from harness.host.process import HostRunner
from harness.host.resources import data_file
from harness.kernel.toolchain import newest_llvm
from harness.onhost import recipe
from harness.onhost.build import HALVES
from harness.onhost.ending import EndingKind, HostEnding
from harness.onhost.layout import HostLayout
from harness.onhost.programs import HostProgram, ProgramIdentity
from harness.onhost.run import HostTap, ProgramLimits, ProgramRunner

KERNEL_HALF = Path(__file__).with_name("onhost_kernel.c")
MISSING = ("missing_function", "missing_number")
MIB = 1 << 20


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> HostProgram:
    """Both halves, compiled and linked as a tree's program is, but for the tree."""
    work, clang, runner = tmp_path_factory.mktemp("program"), newest_llvm() / "clang", HostRunner()
    (work / "traps.s").write_text(recipe.trap_source(MISSING))
    objects = []
    for source in (KERNEL_HALF, HALVES / recipe.HOST_HALF, work / "traps.s"):
        target = work / f"{source.stem}.o"
        flags = [
            f"-I{HALVES}",
            f"-I{HALVES / GUEST.name}",
            f"-idirafter{data_file('images', 'kmod')}",
            "-O1",
            "-fno-omit-frame-pointer",
            "-fno-pic",
            "-c",
        ]
        runner.run([clang, *flags, source, "-o", target])
        objects.append(target)
    linker = newest_llvm() / "ld.lld"
    runner.run([clang, "-no-pie", f"--ld-path={linker}", *objects, "-o", work / "program"])
    return HostProgram(ProgramIdentity("0", "0", "", "", "-O1", (), ()), work)


class Started:
    """Starts programs, and knows what is left of them."""

    def __init__(self, program: HostProgram, scratch: Path) -> None:
        self.program = program
        self.scratch = scratch

    def ended_by(self, command: str, limits: ProgramLimits | None = None) -> HostEnding | None:
        """How the program ends that is told a command."""
        runner = ProgramRunner(
            self.program, HostLayout(1, (0,)), HostRunner(), self.scratch,
            limits=limits or ProgramLimits(),
        )  # fmt: skip
        with runner.started() as tap:
            tap.write(f"{command}\n".encode())
            while tap.read(60.0):
                pass
            return tap.ending


@pytest.fixture
def started(program: HostProgram, tmp_path: Path) -> Iterator[Started]:
    yield Started(program, tmp_path)
    # Its sandbox has ended; the kernel ends what ran inside a moment later.
    _, left = psutil.wait_procs(list(running(program.path)), timeout=60)
    assert not left


def running(path: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["cmdline"]):
        if str(path) in (process.info["cmdline"] or ()):
            yield process


def answered(tap: HostTap) -> bytes:
    """The next lines."""
    data = tap.read(60.0)
    assert data is not None
    return data


def test_commands_are_answered_in_order(program: HostProgram, tmp_path: Path) -> None:
    with ProgramRunner(program, HostLayout(1, (0,)), HostRunner(), tmp_path).started() as tap:
        tap.write(b"one\ntwo\n")
        lines = b""
        while lines.count(b"\n") < 2:
            lines += answered(tap)
        assert lines == b"one\ntwo\n"


def test_a_panic_is_told_with_the_functions_that_were_running(started: Started) -> None:
    ending = started.ended_by("panic")
    assert ending is not None
    assert ending == HostEnding(EndingKind.PANIC, "slab 17 at 0xfeed is lost", ending.frames)
    assert ending.frames[:2] == ("panics", "kern_take")
    assert ending.is_finding


def test_what_a_panic_is_compared_by_has_no_numbers() -> None:
    one = HostEnding(EndingKind.PANIC, "slab 17 at 0xfeed is lost")
    other = HostEnding(EndingKind.PANIC, "slab 3 at 0xbeef is lost", ("keg",))
    assert one.title == other.title == "panic: slab N at N is lost"


@pytest.mark.parametrize(
    ("command", "name"), [("call", "missing_function"), ("read", "missing_number")]
)
def test_what_nobody_defines_says_its_name_when_it_is_called_or_read(
    started: Started, command: str, name: str
) -> None:
    ending = started.ended_by(command)
    assert ending is not None
    assert (ending.kind, ending.text, ending.frames) == (EndingKind.TRAP, name, ("kern_take",))
    assert not ending.is_finding


@pytest.mark.parametrize(
    ("command", "name"), [("overwrite", "SIGSEGV"), ("divide", "SIGFPE"), ("stack", "SIGSEGV")]
)
def test_a_signal_is_told_by_its_name(started: Started, command: str, name: str) -> None:
    ending = started.ended_by(command)
    assert ending is not None
    assert (ending.kind, ending.text) == (EndingKind.SIGNAL, name)
    assert "kern_take" in ending.frames


def test_a_loop_ends_by_its_cpu_time(started: Started) -> None:
    ending = started.ended_by("spin", ProgramLimits(patience=1))
    assert ending is not None
    assert (ending.kind, ending.frames) == (EndingKind.LOOP, ("kern_take",))


@pytest.mark.parametrize("grouped", [False, True], ids=["resident size", "cgroup if there is one"])
def test_a_program_that_takes_too_much_memory_is_ended(started: Started, grouped: bool) -> None:
    ending = started.ended_by("memory", ProgramLimits(memory=64 * MIB, grouped=grouped))
    assert ending is not None
    assert ending.kind is EndingKind.MEMORY


def test_a_program_that_leaves_without_a_word_is_told(started: Started) -> None:
    assert started.ended_by("leave") == HostEnding(EndingKind.EXITED)


def test_a_program_that_is_ended_for_its_answers_is_told_with_them() -> None:
    assert HostEnding(EndingKind.EXITED, "it answers nonsense").in_words() == "it answers nonsense"
    assert "without a word" in HostEnding(EndingKind.EXITED).in_words()


@pytest.mark.parametrize("command", ["babble", "lie"])
def test_lines_that_are_none_are_nonsense(started: Started, command: str) -> None:
    with pytest.raises(Nonsense):
        started.ended_by(command)


def copied(tap: HostTap, *commands: str) -> bytes:
    """What a copy of the program answers, which is told commands and then to end."""
    tap.fork()
    for command in commands:
        tap.write(f"{command}\n".encode())
    answer = tap.read(60.0) or b""
    if tap.ending is None:
        tap.join()
    return answer


def test_a_copy_does_what_it_is_told_and_the_program_stays_as_it_was(
    program: HostProgram, tmp_path: Path
) -> None:
    with ProgramRunner(program, HostLayout(1, (0,)), HostRunner(), tmp_path).started() as tap:
        assert [copied(tap, "count"), copied(tap, "count", "count")] == [b"1\n", b"1\n2\n"]
        tap.write(b"count\n")
        assert tap.read(60.0) == b"1\n"


@pytest.mark.parametrize("command", ["panic", "overwrite", "kill", "spin", "leave"])
def test_the_program_goes_on_when_a_copy_has_ended_and_drops_what_that_was_told(
    program: HostProgram, tmp_path: Path, command: str
) -> None:
    runner = ProgramRunner(
        program, HostLayout(1, (0,)), HostRunner(), tmp_path, limits=ProgramLimits(patience=1)
    )
    kinds = {"panic": EndingKind.PANIC, "spin": EndingKind.LOOP, "leave": EndingKind.EXITED}
    with runner.started() as tap:
        for _ in range(2):
            assert copied(tap, command, *["count"] * 5000) == b""
            assert tap.ending is not None
            assert tap.ending.kind is kinds.get(command, EndingKind.SIGNAL)
            assert tap.resume()
            assert copied(tap, "count") == b"1\n"


def test_commands_are_tried_each_in_a_copy_of_its_own(program: HostProgram, tmp_path: Path) -> None:
    runner = ProgramRunner(
        program, HostLayout(1, (0,)), HostRunner(), tmp_path, limits=ProgramLimits(patience=1)
    )
    with runner.started() as tap:
        said, ended, killed, spun, noted, last = tap.tried(
            [
                ["say first=1", "say word=1"], ["panic now=1"], ["kill now=1"], ["spin now=1"],
                ["note now=1"], ["say word=2"],
            ],
            60.0,
        )  # fmt: skip
        assert (said.fields, said.ending, last.fields) == ({"word": "1"}, None, {"word": "2"})
        kinds = [each.ending.kind for each in (ended, killed, spun, noted) if each.ending]
        assert kinds == [EndingKind.PANIC, EndingKind.SIGNAL, EndingKind.LOOP, EndingKind.PANIC]
        assert (ended.fields, noted.notes) == ({}, ("!note that",))
        tap.write(b"count\n")
        assert tap.read(60.0) == b"1\n"


def test_a_program_that_ends_while_commands_are_tried_is_told(
    program: HostProgram, tmp_path: Path
) -> None:
    with ProgramRunner(program, HostLayout(1, (0,)), HostRunner(), tmp_path).started() as tap:
        tap.write(b"leave\n")
        with pytest.raises(GuestGone):
            tap.tried([["say word=1"]], 60.0)


def test_stacks_are_switched_in_turn(program: HostProgram, tmp_path: Path) -> None:
    with ProgramRunner(program, HostLayout(1, (0,)), HostRunner(), tmp_path).started() as tap:
        tap.write(b"turns\n")
        assert answered(tap) == b"AaBbCc\n"


def test_a_panic_on_another_stack_is_told_with_its_functions(started: Started) -> None:
    ending = started.ended_by("panic-there")
    assert ending is not None
    assert (ending.kind, ending.frames) == (EndingKind.PANIC, ("panics", "coroutine"))


def test_a_program_that_is_gone_is_not_resumed(program: HostProgram, tmp_path: Path) -> None:
    with ProgramRunner(program, HostLayout(1, (0,)), HostRunner(), tmp_path).started() as tap:
        tap.write(b"panic\n")
        while tap.read(60.0):
            pass
        assert not tap.resume()


def test_the_program_sees_no_file_of_the_users_and_writes_one_directory(
    program: HostProgram, tmp_path: Path
) -> None:
    runner = ProgramRunner(program, HostLayout(1, (0,)), HostRunner(), tmp_path)
    words = [str(word) for word in runner.words(0, 1)]
    assert words[0] == "bwrap"
    assert words.count("--bind") == 1
    assert words[words.index("--bind") + 1] == str(tmp_path)
