"""Commands over a serial port: the guests' own shell, compiled for this host, answers."""

from __future__ import annotations

import select
import shlex
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.boot.serialshell import MAX_COMMAND, SerialShell
from harness.host.clock import HostClock
from harness.host.resources import data_file
from harness.shell.shell import (
    OutputSink,
    ShellError,
    ShellLostError,
    ShellRefusedError,
    ShellSilentError,
    ShellTimeoutError,
)

HERE = Path(__file__).parent
IMPATIENT = 0.02
"""Factor that makes a guest count as silent after 0.4 s."""


class ProgramTap:
    """The channel to a program's standard streams; a ``Tap``."""

    def __init__(self, program: Path) -> None:
        self.popen = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.before = b""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        if self.before:
            before, self.before = self.before, b""
            return before
        assert self.popen.stdout is not None
        readable, _, _ = select.select([self.popen.stdout], [], [], timeout)
        return self.popen.stdout.read(65536) if readable else None

    def write(self, data: bytes) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(data)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("shell") / "shell"
    kmod, shell = data_file("images", "kmod"), data_file("images", "shell")
    sources = [kmod / "protocol.c", kmod / "text.c", shell / "shell.c", HERE / "shell_on_host.c"]
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra"]
    quoted = [word for directory in (kmod, shell) for word in ("-iquote", directory)]
    words = ["gcc", *flags, "-Werror", *quoted, "-o", built, *sources]
    subprocess.run(words, check=True)
    return built


@pytest.fixture
def tap(program: Path) -> Iterator[ProgramTap]:
    tap = ProgramTap(program)
    yield tap
    tap.popen.kill()
    tap.popen.communicate()


@pytest.fixture
def shell(tap: ProgramTap) -> SerialShell:
    return SerialShell(tap, HostClock())


@pytest.mark.parametrize(
    ("command", "status", "stdout"),
    [
        ("true", 0, b""), ("false", 1, b""), ("exit 7", 7, b""), ("exit", 0, b""),
        ("exit 256", 0, b""), ("exit x", 2, b""), ("exit 1 2", 1, b""),
        ("echo", 0, b"\n"), ("echo a  b", 0, b"a b\n"), ("echo -n a", 0, b"a"),
        ("echo 'a  b' \"c'd\" e\\ f", 0, b"a  b c'd e f\n"), ("echo ''", 0, b"\n"),
        ("echo \"a\\\"b\\n\"", 0, b"a\"b\\n\n"), ("echo a#b a~b", 0, b"a#b a~b\n"),
        ("", 0, b""), ("  \t ", 0, b""), ("no-such", 127, b""), ("''", 127, b""),
    ],
)  # fmt: skip
def test_commands_end_as_those_of_sh(
    shell: SerialShell, command: str, status: int, stdout: bytes
) -> None:
    completed = shell.run(command)
    assert (completed.status, completed.stdout) == (status, stdout)
    assert completed.succeeded is (status == 0)


def test_an_unknown_command_is_not_found(shell: SerialShell) -> None:
    assert shell.run("kyua test").stderr == b"sh: kyua: not found\n"


@pytest.mark.parametrize(
    "command",
    ["echo a; false", "echo a | cat", "true && false", "echo $HOME", "echo `id`", "echo *",
     "echo > x", "echo \"$x\"", "(true)", "echo 'open", "# a", "~", " ".join("a" * 33)],
)  # fmt: skip
def test_what_the_shell_lacks_is_an_error_and_not_something_else(
    shell: SerialShell, command: str
) -> None:
    completed = shell.run(command)
    assert (completed.status, completed.stdout) == (2, b"")
    assert b"without expansions, pipes and redirections" in completed.stderr


WORDS = st.lists(st.text(string.printable + "äß€", max_size=12).map(lambda x: x.replace("\0", "")))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS.map(lambda words: ["x", *words[:8]]))
def test_quoted_words_arrive_as_they_are(shell: SerialShell, words: list[str]) -> None:
    completed = shell.run(f"echo {shlex.join(words)}")
    assert completed.stdout.decode() == " ".join(words) + "\n"


@pytest.mark.parametrize("length", [0, 1, 447, 448, 449, 100_000])
def test_output_of_any_length_arrives(shell: SerialShell, length: int) -> None:
    pieces: list[bytes] = []
    completed = shell.run(f"count {length}", sink=OutputSink(pieces.append))
    assert b"".join(pieces) == bytes(i % 251 for i in range(length))
    assert completed.stdout == b""
    assert shell.run(f"count {length}").stdout == b"".join(pieces)


def test_a_command_that_does_not_fit_is_refused_before_it_is_sent(shell: SerialShell) -> None:
    longest = "echo " + "a" * (MAX_COMMAND - 5)
    assert len(shell.run(longest).stdout) == MAX_COMMAND - 4
    with pytest.raises(ShellRefusedError, match=f"at most {MAX_COMMAND} bytes"):
        shell.run(longest + "a")
    with pytest.raises(ShellRefusedError, match="no standard input"):
        shell.run("true", stdin=b"x")
    assert shell.run("true").status == 0


def test_a_guest_without_files_refuses_them(shell: SerialShell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ShellRefusedError, match="no file system"):
        shell.put(tmp_path / "file", PurePosixPath("/file"))
    with pytest.raises(ShellRefusedError, match="not found"):
        shell.get(PurePosixPath("/file"), tmp_path / "got")
    assert not (tmp_path / "got").exists()
    assert shell.run("true").status == 0


@pytest.mark.parametrize(
    "words",
    [
        "noise", "'@harness 0001 exit n=0 status=0 *00000000'", "'@harness 9999 done'",
        "'\x1b[2J'", "-",
    ],
)  # fmt: skip
def test_lines_that_are_no_answer_are_errors_and_the_next_command_works(
    shell: SerialShell, words: str
) -> None:
    assert shell.run("true").status == 0
    with pytest.raises(ShellError, match="an invalid answer"):
        shell.run(f"say {words}")
    assert shell.run("echo still").stdout == b"still\n"


def test_output_before_the_first_answer_is_passed_over(tap: ProgramTap) -> None:
    tap.before = b"BdsDxe: starting\r\n@harness 0000 hel"
    assert SerialShell(tap, HostClock()).run("echo up").stdout == b"up\n"


def test_a_command_without_an_end_times_out_and_the_next_one_works(shell: SerialShell) -> None:
    assert shell.run("true").status == 0
    with pytest.raises(ShellTimeoutError, match=r"within 0\.3 s"):
        shell.run("swallow", timeout=0.3)
    assert shell.run("echo next").stdout == b"next\n"


def test_a_guest_that_answers_no_more_is_silent(tap: ProgramTap) -> None:
    shell = SerialShell(tap, HostClock(), IMPATIENT)
    with pytest.raises(ShellSilentError):
        shell.run("swallow")


def test_a_guest_that_ends_is_lost(shell: SerialShell) -> None:
    with pytest.raises(ShellLostError, match="the guest has ended"):
        shell.run("leave")
