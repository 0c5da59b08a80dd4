"""A machine that exists already: the shipped example, whose scripts start a QEMU of their own."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from command import GLANCE, SECONDS, Home, home_with_kernels

from harness.guest.vmconfig import load_vmconfig
from harness.host.resources import data_file

pytestmark = pytest.mark.guest

EXAMPLE = data_file("vmconfigs", "examples", "qemu", "machine.toml")

BOOT = ("--source", "embedded", "--vm", EXAMPLE, "--sanitizer", "none")


@pytest.fixture
def home() -> Iterator[Home]:
    with home_with_kernels() as made:
        yield made
        assert not machines(made)


def cells(home: Home, *words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    said = home.run(*words, "--json")
    assert said.stdout, said.stderr
    document = json.loads(said.stdout)
    assert "cells" in document, said.stdout
    return said.code, document["cells"]


def machines(home: Home) -> list[psutil.Process]:
    """Those of that home: QEMU's command line has the paths of its serial ports."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "-daemonize" in (words := process.info["cmdline"] or ())
        and any(str(home.directory) in word for word in words)
    ]


def test_both_kernels_are_told_apart_and_what_nothing_proves_is_told(home: Home) -> None:
    code, (before, after) = cells(home, "compare", *BOOT)
    assert code == 0
    assert before["verdict"]["outcome"] == "panic"
    assert after["verdict"]["outcome"] == "booted"
    for cell in (before, after):
        assert (cell["backend"], cell["accelerator"]) == ("command", "none")
        assert "which machine this was" in cell["verification"]["unproven"][0]
        assert cell["verification"]["doubts"] == []
    (described,) = home.runs.glob(f"*/{after['name']}/guest.command")
    assert "power_on: " in described.read_text()
    told = home.run("report")
    assert "booted by command" in told.stdout
    assert "not proven: which machine this was" in told.stdout


def test_a_check_works_by_its_second_serial_port(home: Home) -> None:
    code, (cell,) = cells(home, "check", *BOOT, "--ops", "50")
    assert code == 0
    assert cell["check"]["conclusion"] == "agreed"


def test_a_file_that_describes_another_machine_proves_nothing(home: Home, tmp_path: Path) -> None:
    """QEMU's word would have told; here the kernel sees other nodes, and either may be wrong."""
    text = EXAMPLE.read_text().replace('"./', f'"{EXAMPLE.parent}/').replace("1024", "1536", 1)
    file = tmp_path / "other.toml"
    file.write_text(text)
    words = ("boot", "--source", "embedded", "--vm", file, "--sanitizer", "none")
    code, (cell,) = cells(home, *words)
    assert (code, cell["verdict"]["outcome"]) == (3, "unverified"), cell["verdict"]
    assert "nothing proves which of the two is the machine" in cell["verdict"]["title"]


def test_another_backend_makes_a_guest_with_its_nodes(home: Home) -> None:
    code, (cell,) = cells(home, "boot", *BOOT, "--backend", "qemu", "--accelerator", "tcg")
    assert code == 0
    assert cell["backend"] == "qemu"
    assert cell["verification"]["unproven"] == []
    assert cell["nodes"] == len(load_vmconfig(EXAMPLE).topology.nodes)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_machine_is_switched_off_however_the_harness_ends(
    home: Home, signum: signal.Signals
) -> None:
    with home.started("boot", *BOOT, "--tunable", "harness.keep=1") as running:
        _until(lambda: bool(machines(home)), running.popen)
        running.end_by(signum)
    _until(lambda: not machines(home))


def _until(condition: Any, process: Any = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(GLANCE)
