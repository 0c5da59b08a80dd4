"""A vm file may name the programs of a machine; what is wrong with them is told by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.guest.machinefile import CommandMachine
from harness.guest.vmconfig import VmConfig, load_vmconfig, parse_vmconfig
from harness.host.accelerator import Accelerator
from harness.host.resources import data_file
from harness.image.media import BootMethod

NODES = "[[node]]\nmemory_mib = 1024\n"
LEAST = 'power_on = ["on"]\npower_off = ["./off", "now"]\nconsole = ["cu", "-l", "a b"]\n'


def parse(own: str) -> VmConfig:
    return parse_vmconfig(f"[command]\n{own}\n{NODES}", name="box", origin="/lab/box.toml")


def machine(own: str) -> CommandMachine:
    fixed = parse(own).machine
    assert fixed is not None
    assert isinstance(fixed.own, CommandMachine)
    return fixed.own


def test_programs_beside_the_file_are_found_from_it_and_others_in_the_path() -> None:
    box = machine(LEAST)
    assert box.power_on == ("on",)
    assert box.power_off == ("/lab/off", "now")
    assert box.console == ("cu", "-l", "a b"), "arguments are words, not lines of a shell"
    assert box.directory == Path("/lab")
    assert set(box.programs()) == {"power_on", "power_off", "console"}


def test_the_machine_is_the_files_unless_it_has_a_name() -> None:
    other = machine(LEAST + 'machine = "numabox"')
    assert machine(LEAST).name == "box"
    assert other.name == "numabox"
    assert other.key != machine(LEAST).key
    assert "/" not in other.key


def test_nothing_is_assumed_of_a_machine() -> None:
    fixed = parse(LEAST).machine
    assert fixed is not None
    assert fixed.backend == "command"
    assert fixed.accelerator is Accelerator.NONE
    assert fixed.methods == (BootMethod.LOADER,)
    both = parse(LEAST + 'methods = ["direct", "loader"]').machine
    assert both is not None
    assert both.methods == tuple(BootMethod)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ('power_on = ["on"]', "command.power_off: it is missing"),
        (LEAST + 'power_cycle = ["x"]', "command.power_cycle: there is no such key"),
        (LEAST.replace('["on"]', '"on"'), "command.power_on: expected `array`"),
        (LEAST.replace('["on"]', "[]"), "command.power_on: expected `array` of length >= 1"),
        (LEAST.replace('["on"]', '[""]'), "command.power_on[0]"),
        (LEAST.replace('["on"]', '["on", "a\\u0000b"]'), "command.power_on[1]"),
        (LEAST + "seconds = 0", "command.seconds: expected `float` >= 1"),
        (LEAST + 'methods = ["pxe"]', "command.methods[0]: it must be 'direct' or 'loader'"),
        (LEAST + "methods = []", "command.methods: expected `array` of length >= 1"),
        (LEAST + 'environment = ["A=B"]', "command.environment[0]"),
        (LEAST + 'machine = "a\\nb"', "command.machine"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(own: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(own)
    assert words in caught.value.message
    assert caught.value.message.startswith("/lab/box.toml: ")


def test_a_backend_that_makes_machines_to_order_has_no_table() -> None:
    for name in ("qemu", "libvirt", "fake"):
        with pytest.raises(UsageError, match=f"unknown key {name}"):
            parse_vmconfig(f"[{name}]\n{NODES}", name="box", origin="box.toml")
    with pytest.raises(UsageError, match="command: it must be a table"):
        parse_vmconfig(f"command = 1\n{NODES}", name="box", origin="box.toml")


@pytest.mark.parametrize("name", ["qemu", "console-server", "bhyve"])
def test_the_shipped_examples_can_be_read_and_their_programs_executed(name: str) -> None:
    file = data_file("vmconfigs", "examples", name, "machine.toml")
    fixed = load_vmconfig(file).machine
    assert fixed is not None
    assert isinstance(fixed.own, CommandMachine)
    for words in fixed.own.programs().values():
        if "/" in words[0]:
            assert Path(words[0]).stat().st_mode & 0o111
