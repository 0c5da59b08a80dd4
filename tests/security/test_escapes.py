"""What a guest, a tree or a record prints reaches no terminal and no report as an escape."""

from __future__ import annotations

import ast
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import PROGRAM, Home
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.printable import printable, printable_text

PACKAGE = Path(harness.__file__).parent

TITLE = "\x1b]0;owned\x07"
HIDE = "\x1b[2J\x1b[1A"
BIDI = "\u202egnp.exe\u2066"
C1 = "\x9b2J"
EVIL = f"{TITLE}{HIDE}{BIDI}{C1}"

FORBIDDEN = (*"\x07\x9b\u202e\u2066", "\x1b]", "\x1b[2J")
"""Nothing of ours writes these to a terminal; what draws progress moves the cursor up."""


@given(st.text())
def test_what_is_printable_shows_only_and_keeps_its_lines(text: str) -> None:
    shown = printable_text(text)
    assert all(line.replace("\t", "").isprintable() for line in shown.split("\n"))
    assert len(shown) == len(text)
    assert shown.count("\n") == text.count("\n")
    assert printable(text).isprintable()


def test_printable_text_is_left_alone() -> None:
    assert printable_text("vm_fault: Straße 終\n\tnext") == "vm_fault: Straße 終\n\tnext"


def on_terminal(home: Home, *words: str | Path) -> str:
    """All that a harness writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *map(str, words)], cwd=home.directory,
        env={**home.env, "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    ):  # fmt: skip
        os.close(theirs)
        written = b"".join(_read(ours))
    os.close(ours)
    return written.decode("utf-8", "replace")


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # its other end is closed
            return
        yield data


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A serial log of a kernel that panics with a hostile message."""
    path = tmp_path / f"{EVIL.replace('/', '')}.log"
    path.write_text(f"---<<BOOT>>---\npanic: {EVIL}message\ncpuid = 0\nWARNING: {EVIL}\n")
    return path


def test_a_log_and_its_name_cannot_command_a_terminal(home: Home, log: Path) -> None:
    shown = on_terminal(home, "judge", log)
    assert "message" in shown
    assert not [one for one in FORBIDDEN if one in shown]


@pytest.mark.parametrize(
    "words",
    [
        ("boot", "--source", EVIL),
        ("boot", "--source", "embedded", "--tunable", EVIL),
        ("report", EVIL),
        ("console", EVIL),
        ("stop", EVIL),
        (EVIL,),
        ("boot", f"--{EVIL}"),
        ("judge", EVIL),
        ("gc", "--limit", EVIL),
        ("boot", "--vm", EVIL),
        ("boot", "--source", "embedded", "--mutant", EVIL),
    ],
)
def test_an_error_shows_a_hostile_name_without_obeying_it(
    home: Home, words: tuple[str, ...]
) -> None:
    said = home.run(*words)
    assert said.code == 2
    assert not [one for one in FORBIDDEN if one in said.stderr + said.stdout]
    shown = on_terminal(home, *words)
    assert not [one for one in FORBIDDEN if one in shown]


def test_junit_shows_what_xml_could_not_hold(home: Home, log: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert home.run("judge", log, "--junit", report).code == 1
    text = report.read_text()
    assert "message" in text
    assert not [one for one in FORBIDDEN if one in text]


#: Where something may be written to a stream, and what sees to it that it only shows.
DOORS = {
    "cli/app.py": "nothing; whether standard output is a terminal",
    "cli/streams.py": "the filter itself",
    "cli/safeconsole.py": "rich's way out, filtered piece by piece",
    "cli/messages.py": "the filtered stream",
    "cli/main.py": "the filtered stream",
    "cli/man.py": "the filtered stream",
    "cli/console.py": "lines made printable, or --raw, which is asked for",
    "cli/terminal.py": "a terminal onto the guest, which is asked for",
    "cli/boot.py": "nothing; whether standard output is a terminal",
    "cli/exec.py": "a command's output: filtered on a terminal, else as it is, which is asked for",
    "cli/entry.py": "an import that failed: no foreign text",
    "cli/schema.py": "the filtered stream",
    "guest/relay.py": "a program of its own, without output",
}


def test_nothing_is_printed_but_through_the_doors() -> None:
    """A new place that prints belongs into the table, with what it does about foreign text."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_data" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if _prints(node):
                found.add(str(path.relative_to(PACKAGE)))
    assert found <= set(DOORS)


def _prints(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}:
        return isinstance(node.value, ast.Name) and node.value.id == "sys"
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Name):
        return called.id in {"print", "Console"}
    if not isinstance(called, ast.Attribute) or not isinstance(called.value, ast.Name):
        return False
    return called.value.id == "click" and called.attr in {"echo", "secho"}
