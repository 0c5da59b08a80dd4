"""Output that breaks: exit codes of commands whose streams are closed, full or gone.

Progress that cannot be written is dropped. What was asked for and cannot be written is the host's
failure, whatever the kernel did; where the exit code is the answer, it stands.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cell_table import Table
from command import PROGRAM, SECONDS, Home
from embedded_history import EmbeddedHistory

pytestmark = pytest.mark.guest

GUEST = ("--source", "embedded", "--accelerator", "tcg")
BOOT = ("boot", *GUEST)
PANICS = (*BOOT, "--numa", "2", "--mutant", "drop-commit")
PANIC_LOG = Path(__file__).parents[1] / "golden" / "13.2-kasan-numa2-before.panic.console"


@dataclass(frozen=True)
class Streams:
    """Descriptors for standard input, output and error; None for a closed one."""

    stdin: int | None
    stdout: int | None
    stderr: int | None


def run(home: Home, streams: Streams, *words: str | Path) -> int:
    """The exit code of a harness with those streams."""
    taken = (streams.stdin, streams.stdout, streams.stderr)
    closed = "".join(f" {number}>&-" for number, fd in enumerate(taken) if fd is None)
    finished = subprocess.run(
        ["sh", "-c", f'exec "$@"{closed}', "sh", *PROGRAM, *map(str, words)],
        stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr,
        cwd=home.directory, env={**home.env, "TERM": "xterm"}, timeout=500, check=False,
        start_new_session=True,
    )  # fmt: skip
    return finished.returncode


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


@contextlib.contextmanager
def nobody_reads() -> Iterator[int]:
    """A pipe whose reader has left, as in ``harness … | true``."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextlib.contextmanager
def hung_up() -> Iterator[int]:
    """A terminal that is gone."""
    master, slave = pty.openpty()
    os.close(master)
    yield slave
    os.close(slave)


def full() -> AbstractContextManager[int]:
    return opened("/dev/full")


Broken = Callable[[], AbstractContextManager[int | None]]

#: How each of standard input, output and error is; None for one that works.
BREAKAGES: dict[str, tuple[Broken | None, Broken | None, Broken | None]] = {
    "stdout closed": (None, contextlib.nullcontext, None),
    "stderr closed": (None, None, contextlib.nullcontext),
    "all closed": (contextlib.nullcontext, contextlib.nullcontext, contextlib.nullcontext),
    "stdout full": (None, full, None),
    "stderr full": (None, None, full),
    "stdout, stderr full": (None, full, full),
    "reader left": (None, nobody_reads, None),
    "readers left": (None, nobody_reads, nobody_reads),
    "terminal hung up": (hung_up, hung_up, hung_up),
}


@contextlib.contextmanager
def streams(name: str) -> Iterator[Streams]:
    with contextlib.ExitStack() as stack:
        null = stack.enter_context(opened(os.devnull))
        yield Streams(*(stack.enter_context(how()) if how else null for how in BREAKAGES[name]))


def stdout_breaks(name: str) -> bool:
    return BREAKAGES[name][1] is not None


def record(home: Home) -> dict[str, Any]:
    """Of the newest run."""
    newest = max(home.runs.glob("*/record.json"), key=lambda path: path.stat().st_mtime_ns)
    document: dict[str, Any] = json.loads(newest.read_text())
    return document


@dataclass(frozen=True)
class Command:
    """What is called, what its verdict is, and whether standard output takes the answer."""

    words: tuple[str | Path, ...]
    verdict: int
    answers: bool


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two revisions; the second panics."""
    made = EmbeddedHistory(tmp_path_factory.mktemp("history") / "guest")
    made.break_it()
    return made.directory


COMMANDS = {
    "boot": Command(BOOT, 0, answers=True),
    "boot (panic)": Command(PANICS, 1, answers=True),
    "boot --git-bisect": Command((*BOOT, "--git-bisect"), 0, answers=False),
    "boot --git-bisect (panic)": Command((*PANICS, "--git-bisect"), 1, answers=False),
    "boot --json": Command((*BOOT, "--json"), 0, answers=True),
    "boot --junit": Command((*BOOT, "--junit", "junit.xml"), 0, answers=False),
    "boot --json --junit": Command((*BOOT, "--json", "--junit", "junit.xml"), 0, answers=True),
    "compare": Command(("compare", *GUEST, "--numa", "2"), 0, answers=True),
    "check": Command(("check", *GUEST, "--ops", "50"), 0, answers=True),
    "mutants": Command(("mutants", *GUEST, "--baseline", "2", "--ops", "50"), 0, answers=True),
    "bisect": Command(
        ("bisect", "--good", "first", "--bad", "main", "--numa", "2", "--accelerator", "tcg"),
        0, answers=True,
    ),
    "report": Command(("report",), 0, answers=True),
    "judge": Command(("judge", PANIC_LOG), 1, answers=True),
    "judge --junit": Command(("judge", PANIC_LOG, "--junit", "junit.xml"), 1, answers=False),
    "man": Command(("man",), 0, answers=True),
    "--help": Command(("--help",), 0, answers=True),
    "console": Command(("console",), 0, answers=True),
    "ps": Command(("ps", "--json"), 0, answers=True),
}  # fmt: skip

#: CI tries each breakage with one command, and the others with one or two.
ALWAYS = {"boot --git-bisect (panic)"}
BOTH = {"boot --git-bisect", "boot --json", "report", "man", "--help", "judge"}


def in_ci(command: str, breakage: str) -> bool:
    kinds = {"stdout full", "all closed"} if command in BOTH else {"stdout full"}
    return command in ALWAYS or breakage in kinds


EVERYTHING = [
    pytest.param(
        breakage, command, id=f"{command}, {breakage}",
        marks=[] if in_ci(command, breakage) else pytest.mark.long,
    )
    for command in COMMANDS
    for breakage in BREAKAGES
]  # fmt: skip


@pytest.mark.parametrize(("breakage", "name"), EVERYTHING)
def test_exit_code_is_the_verdict_unless_the_answer_was_lost(
    shared_home: Home, table: Table, history: Path, breakage: str, name: str
) -> None:
    command = COMMANDS[name]
    words = (*command.words, *(("--source", history) if name == "bisect" else ()))
    if name in {"report", "console"}:
        assert shared_home.run(*BOOT).code == 0
    with streams(breakage) as broken:
        code = run(shared_home, broken, *words)
    table.enter(breakage, name, str(code))
    lost = command.answers and stdout_breaks(breakage)
    assert code == (3 if lost else command.verdict)


def test_record_has_the_verdict_and_what_could_not_be_written(shared_home: Home) -> None:
    with streams("stdout, stderr full") as broken:
        assert run(shared_home, broken, *PANICS) == 3
    found = record(shared_home)
    assert found["exit_code"] == 1
    assert found["cells"][0]["verdict"]["outcome"] == "panic"
    assert found["unwritten"] == [
        "standard output: No space left on device", "standard error: No space left on device"
    ]  # fmt: skip
    assert shared_home.run(*BOOT).code == 0
    assert record(shared_home)["unwritten"] == []


def test_lost_answer_is_told_with_cause_and_remedy(shared_home: Home) -> None:
    finished = subprocess.run(
        ["sh", "-c", 'exec "$@" >/dev/full', "sh", *PROGRAM, *BOOT],
        env=shared_home.env, cwd=shared_home.directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 3
    error = finished.stderr[finished.stderr.index("harness: ") :]
    assert "standard output: No space left on device" in error
    assert "harness report" in error
    assert "Exception ignored" not in finished.stderr
    assert shared_home.run("report").code == 0


def test_streams_that_were_closed_do_not_write_into_files_that_are_opened_later(
    shared_home: Home,
) -> None:
    """A file that is opened gets the lowest number that is free: here those of the streams."""
    with streams("all closed") as broken:
        assert run(shared_home, broken, *BOOT, "-v", "--git-bisect") == 0
    found = record(shared_home)
    (console,) = (shared_home.runs / found["name"]).glob("*/console.log")
    assert console.read_bytes().startswith(b"---<<BOOT>>---")
    assert b"record: " not in console.read_bytes()


def test_terminal_that_hangs_up_meanwhile_leaves_the_verdict(
    shared_home: Home, table: Table
) -> None:
    """As a session that is lost, with the harness under nohup(1) or not in its foreground."""
    master, slave = pty.openpty()
    popen = subprocess.Popen(
        [*PROGRAM, *PANICS, "--git-bisect"], stdin=slave, stdout=slave, stderr=slave,
        cwd=shared_home.directory, env={**shared_home.env, "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    assert select.select([master], [], [], SECONDS)[0]
    os.read(master, 1)
    os.close(master)
    code = popen.wait(SECONDS * 5)
    table.enter("terminal hangs up meanwhile", "boot --git-bisect (panic)", str(code))
    assert code == 1


@pytest.mark.parametrize("target", ["pipe", "device", "link"])
def test_junit_may_go_to_what_is_no_plain_file(
    shared_home: Home, tmp_path: Path, target: str
) -> None:
    path = tmp_path / "junit.xml"
    if target == "pipe":
        os.mkfifo(path)
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as reader:
            assert shared_home.run(*BOOT, "--junit", path).code == 0
            assert b"<testsuite" in reader.communicate()[0]
        assert path.is_fifo()
    elif target == "device":
        path.symlink_to("/dev/full")
        said = shared_home.run(*BOOT, "--junit", path)
        assert (said.code, "No space left on device" in said.error) == (3, True)
        assert Path("/dev/full").is_char_device()
        assert "cannot write" in record(shared_home)["unwritten"][0]
    else:
        path.symlink_to("real.xml")
        assert shared_home.run(*BOOT, "--junit", path).code == 0
        assert path.is_symlink()
        assert "<testsuite" in (tmp_path / "real.xml").read_text()


def test_characters_that_a_stream_cannot_show_are_no_failure(shared_home: Home) -> None:
    said = shared_home.run(*PANICS, PYTHONIOENCODING="ascii:strict")
    assert (said.code, "panic" in said.stdout) == (1, True)


@pytest.mark.parametrize(("flags", "code"), [((), 3), (("--git-bisect",), 128)])
def test_incomplete_installation_is_the_hosts_failure(
    shared_home: Home, tmp_path: Path, flags: tuple[str, ...], code: int
) -> None:
    (tmp_path / "click.py").write_text("raise ImportError('no such module')\n")
    program = "from harness.cli.entry import main; main()"
    finished = subprocess.run(
        [PROGRAM[0], "-c", program, *BOOT, *flags], env={**shared_home.env,
        "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == code
    assert finished.stderr.startswith("harness: the installation is incomplete: no such module")
