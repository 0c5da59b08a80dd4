"""gdb's command line: what it reads, and what it must not read."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from harness.debug.gdb import DebugFiles, is_batch, words_for_dump, words_for_stub
from harness.debug.remote import answer_in, packet
from harness.host.programs import find_program

FILES = DebugFiles(Path("/k/kernel.debug"), ("/usr/src", "/b/src"), Path("/my src"))
STUB = Path("/run/guest.gdb")


def commands(words: list[str]) -> list[str]:
    return [after for word, after in itertools.pairwise(words) if word == "-ex"]


def test_sources_are_found_for_each_directory_of_the_build() -> None:
    found = commands(words_for_stub(FILES, STUB, ()))
    assert 'set substitute-path "/usr/src" "/my src"' in found
    assert 'set substitute-path "/b/src" "/my src"' in found


def test_the_kernel_is_read_before_the_target() -> None:
    found = commands(words_for_stub(FILES, STUB, ("-ex", "bt")))
    order = [
        found.index(each) for each in ('file "/k/kernel.debug"', f"target remote {STUB}", "bt")
    ]
    assert order == sorted(order)
    assert "core-file /d/memory.core" in commands(words_for_dump(FILES, Path("/d/memory.core"), ()))


def test_the_users_arguments_are_the_last() -> None:
    assert words_for_stub(FILES, STUB, ("-batch", "-ex", "bt"))[-3:] == ["-batch", "-ex", "bt"]
    assert is_batch(("-ex", "bt", "-batch"))
    assert not is_batch(("-ex", "-bt"))


@pytest.mark.skipif(find_program("gdb") is None, reason="gdb is not installed")
def test_scripts_beside_the_program_and_in_the_directory_are_not_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").resolve().read_bytes())
    ran = tmp_path / "ran"
    for name in ("program-gdb.gdb", ".gdbinit", "program-gdb.py"):
        python = name.endswith(".py")
        (tmp_path / name).write_text(
            f"open({str(ran)!r}, 'w')\n" if python else f"shell touch {ran}\n"
        )
    words = words_for_dump(DebugFiles(program), tmp_path / "none", ("-batch", "-ex", "echo done"))
    said = subprocess.run(
        words, cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "done" in said.stdout, said.stderr
    assert not ran.exists()


def test_packets_have_checksums_and_answers_are_whole() -> None:
    assert packet(b"D;1") == b"+$D;1#b0"
    assert answer_in(b"+$OK#9") is None
    assert answer_in(b"+$OK#9a") == b"OK"
    assert answer_in(b"++") is None
