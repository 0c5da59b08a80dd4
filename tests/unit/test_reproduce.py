"""The command that repeats a result is one that the command line takes, and asks for that cell."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from harness.cli.main import COMMANDS
from harness.nightly.cells import NightCell
from harness.nightly.reproduce import command_of
from harness.nightly.result import Result, Slot, Status

SLOT = Slot("tree:main", "cell")
BOOT = NightCell(
    SLOT, "boot", "KASAN+KUBSAN", ("INVARIANTS=n",), numa="4", accelerator="tcg",
    until="mountroot", timeout=90.0, tunables={"vm.x": "a b"}, fail_on_report=True,
)  # fmt: skip
CHECK = NightCell(SLOT, "check", "none", numa="2", subsystem="uma", operations=300)
CONTROL = NightCell(SLOT, "control", "KASAN", vm="numa2-kasan", mutant="drop-commit")
COMMAND = NightCell(
    SLOT, "command", "KASAN", numa="2", command="sysctl -n vm.ndomains | grep 2", world="tests"
)
FAILED = Result(SLOT, "a" * 40, Status.FAILED, seed=7001, method="loader")


def parsed(words: tuple[str, ...]) -> tuple[str, dict[str, object]]:
    """What the command line makes of a command."""
    program, name, *arguments = words
    assert program == "harness"
    (command,) = (place.command() for place in COMMANDS if place.name == name)
    assert isinstance(command, click.Command)
    return name, command.make_context(name, arguments).params


def test_a_boot() -> None:
    name, given = parsed(command_of(BOOT, FAILED, "/src tree", "GENERIC"))
    assert name == "boot"
    asked = {
        "source": "/src tree", "revision": "a" * 40, "kernconf": "GENERIC", "numa": "4",
        "accelerator": "tcg", "until": "mountroot", "fail_on_report": True, "timeout": 90,
    }  # fmt: skip
    assert {each: given[each] for each in asked} == asked


@pytest.mark.parametrize(
    "cell", [BOOT, CHECK, CONTROL, COMMAND], ids=["boot", "check", "control", "command"]
)
def test_the_command_line_takes_it(cell: NightCell) -> None:
    for result in (FAILED, replace(FAILED, kind="build", status=Status.UNBUILT)):
        for source in ("/src", "embedded"):
            words = command_of(cell, result, source)
            name, given = parsed(words)
            assert given["source"] == source
            assert name == ("build" if result.kind == "build" else words[1])
            assert ("--rev" in words) == (source != "embedded")


def test_a_check_has_its_seed() -> None:
    words = command_of(CHECK, FAILED, "/src")
    assert words[1] == "check"
    assert words[words.index("--seed") + 1] == "7001"
    assert words[words.index("--ops") + 1] == "300"
    parsed(words)


def test_a_command_is_run_by_a_shell_in_its_world() -> None:
    words = command_of(COMMAND, FAILED, "/src")
    assert words[1] == "exec"
    world, program = words.index("--world"), words.index("--")
    assert words[world + 1] == "tests"
    assert words[program + 1 :] == ("sh", "-c", COMMAND.command)
    assert parsed(words)[1]["world"] == "tests"


def test_a_control_has_its_mutant() -> None:
    words = command_of(CONTROL, FAILED, "/src")
    assert words[words.index("--mutant") + 1] == "drop-commit"
