"""What ``--json`` prints is one document that the published schema describes, errors included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from command import Home
from inprocess import call
from published_schema import valid

from harness.cli.jsonoutput import DOCUMENTS
from harness.cli.main import COMMANDS
from harness.host.jsontoml import MAX_EXACT, json_text

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg")
CHECK = ("check", "--source", "embedded", "--accelerator", "tcg", "--ops", "20")
TRACE = """\
variant 13-after
zone domains=2 ipers=42 reserve=2
prealloc 2
alloc cpu=0 M_NOWAIT|M_NOVM|M_USE_RESERVE
free 2
"""


def commands(path: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(f"{path} {name}", below)
    else:
        yield path


def test_schema_has_every_command() -> None:
    names = {name for place in COMMANDS for name in commands(place.name, place.command())}
    assert names == DOCUMENTS.keys()


QUIET = {
    "doctor": ("doctor",),
    "build": ("build", "--source", "embedded"),
    "boot --dry-run": (*BOOT, "--dry-run"),
    "mutants --list": ("mutants", "--list"),
    "model predict": ("model", "predict", "--source", "embedded", "--numa", "1-3"),
    "model trace": ("model", "trace", "{trace}"),
    "model explore": ("model", "explore", "--domains", "2", "--slabs", "1", "--depth", "3"),
    "judge": ("judge", "{log}"),
    "runs list": ("runs", "list"),
    "ps": ("ps",),
    "stop": ("stop",),
    "gc": ("gc", "--limit", "0", "--dry-run"),
    "man": ("man",),
    "cases": ("cases",),
}
"""Commands that boot nothing."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    golden = Path(__file__).parents[1] / "golden" / "made-trap-in-lock.console"
    (tmp_path / "a.trace").write_text(TRACE)
    return {"trace": str(tmp_path / "a.trace"), "log": str(golden)}


@pytest.mark.parametrize("name", QUIET)
def test_document_of(shared_home: Home, files: dict[str, str], name: str) -> None:
    words = [word.format(**files) for word in QUIET[name]]
    said = call(shared_home, *words, "--json")
    assert "error" not in valid(name.partition(" --")[0], said.stdout), said.stderr


@pytest.mark.guest
def test_documents_of_a_run(shared_home: Home) -> None:
    panic = call(shared_home, *BOOT, "--mutant", "drop-commit", "--numa", "2", "--json")
    record = valid("boot", panic.stdout)
    assert record["exit_code"] == panic.code == 1
    assert valid("report", call(shared_home, "report", "--json").stdout) == record
    assert valid("console", call(shared_home, "console", "--json").stdout)["runs"] is False
    assert valid("runs list", call(shared_home, "runs", "--json").stdout)["runs"]
    assert valid("check", call(shared_home, *CHECK, "--numa", "2", "--json").stdout)["cells"]


@pytest.mark.guest
@pytest.mark.long
@pytest.mark.parametrize("command", ["compare", "mutants"])
def test_document_of_a_long_run(shared_home: Home, command: str) -> None:
    said = call(shared_home, command, "--source", "embedded", "--numa", "2", "--json")
    assert valid(command, said.stdout)["cells"]
    assert valid("console", call(shared_home, "console", "--json").stdout)["consoles"]
    assert valid("runs retry", call(shared_home, "runs", "retry", "--json").stdout)["cells"]


@pytest.mark.parametrize("command", DOCUMENTS)
@pytest.mark.parametrize("bad", ["--no-such-option", "--out=/etc/passwd"])
def test_refusal_is_a_document(shared_home: Home, command: str, bad: str) -> None:
    said = call(shared_home, *command.split(), bad, "--json")
    error = valid(command, said.stdout)["error"]
    assert (error["code"], error["kind"]) == (said.code, "usage")
    assert error["message"].splitlines()[0] in said.stderr
    assert error["remedy"]


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("report", "no-such-run"), 2, "usage"),
        (("boot", "--source", "/no/tree", "--git-bisect"), 128, "usage"),
        (("bisect", "--source", "embedded", "--json", "--", "true", "--git-bisect"), 2, "usage"),
        (("gc", "--limit", "much"), 2, "usage"),
    ],
)
def test_error_says_whose_fault_it_is(
    shared_home: Home, words: tuple[str, ...], code: int, kind: str
) -> None:
    words = words if "--json" in words else (*words, "--json")
    said = call(shared_home, *words)
    error = valid(words[0], said.stdout)["error"]
    assert (error["code"], error["kind"], said.code) == (code, kind, code)
    assert error["message"] in said.stderr


def test_result_that_is_followed_by_an_error_is_the_only_document(shared_home: Home) -> None:
    """The record is printed before the JUnit file cannot be written."""
    words = ("judge", Path(__file__).parents[1] / "golden" / "made-good-boot-login.console")
    said = call(shared_home, *words, "--junit", "/proc/junit.xml", "--json")
    assert said.code == 3
    assert "verdicts" in json.loads(said.stdout)
    assert "cannot write /proc/junit.xml" in said.stderr


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (MAX_EXACT, MAX_EXACT),
        (MAX_EXACT + 1, "0x20000000000000"),
        (0xFFFFFFFF80B7D2A1, "0xffffffff80b7d2a1"),
        (-MAX_EXACT - 1, "-0x20000000000000"),
        (True, True),
        (1.5e300, 1.5e300),
    ],
)
def test_numbers_that_readers_would_round_are_text(number: Any, written: Any) -> None:
    document = {"a": [{"b": (number,)}], "c": number}
    assert json.loads(json_text(document, 1)) == {"a": [{"b": [written]}], "c": written}
