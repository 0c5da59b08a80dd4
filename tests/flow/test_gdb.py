"""gdb on kept guests, on guests that panic, and on memory dumps."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import GLANCE, SECONDS, Home
from seats import seated

from harness.guest.lease import lent_monitor
from harness.guest.qmp import read_status
from harness.guest.registry import KeptGuest, Registry
from harness.host.clock import HostClock
from harness.host.workspace import Workspace

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg", "--numa", "2")
PANIC = (*BOOT, "--mutant", "drop-commit")
KEEP = (*BOOT, "--keep")

CALLERS = ["vm_map_entry_create", "vm_map_insert", "kmem_init", "vm_mem_init", "mi_startup"]


def guest_of(home: Home) -> KeptGuest:
    directory = home.directory
    workspace = Workspace(
        home.cache, directory / "state" / "harness", directory / "run" / "harness"
    )
    (guest,) = Registry(workspace, HostClock()).live()
    return guest


def status_of(guest: KeptGuest) -> str:
    with lent_monitor(guest, HostClock()) as monitor:
        return read_status(monitor)


def wait_until_gone(path: Path) -> None:
    until = time.monotonic() + SECONDS
    while path.exists():
        assert time.monotonic() < until
        time.sleep(GLANCE)


def cell_of(home: Home) -> dict[str, Any]:
    cell: dict[str, Any] = json.loads(home.run("report", "--json").stdout)["cells"][0]
    return cell


def functions_in(text: str) -> list[str]:
    """The functions of gdb's backtrace, innermost first."""
    lines = (line.split() for line in text.splitlines() if line.startswith("#"))
    return [words[3] if words[1].startswith("0x") else words[1] for words in lines]


@pytest.mark.guest
@pytest.mark.parametrize("backend", ["qemu", "libvirt"])
def test_gdb_shows_a_kept_guest_and_leaves_it_running(guest_home: Home, backend: str) -> None:
    assert guest_home.run(*KEEP, "--backend", backend).code == 0
    said = guest_home.run("gdb", "latest", "--", "-batch", "-ex", "bt", "-ex", "info threads")
    assert said.code == 0, said
    assert "cpu_halt () at ./images/embedded/shutdown.c:" in said.stdout
    assert functions_in(said.stdout)[-1] == "btext"
    assert "(CPU#0" in said.stdout
    assert "(CPU#1" in said.stdout
    guest = guest_of(guest_home)
    assert not guest.stub.exists()
    assert status_of(guest) == "running"


@contextlib.contextmanager
def at_work(home: Home) -> Iterator[Any]:
    """A gdb that has stopped the guest, with a breakpoint where the guest is."""
    ready = home.directory / "ready"
    ready.unlink(missing_ok=True)
    program = f"python open({str(ready)!r}, 'w').close(); import time; time.sleep(1000)"
    words = ("gdb", "latest", "--", "-batch", "-ex", "hbreak cpu_halt", "-ex", program)
    with home.started(*words) as harness:
        until = time.monotonic() + SECONDS
        while not ready.exists():
            assert time.monotonic() < until
            time.sleep(GLANCE)
        yield harness


@pytest.mark.guest
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_guest_runs_on_whatever_ends_the_harness(
    guest_home: Home, signum: signal.Signals
) -> None:
    assert guest_home.run(*KEEP).code == 0
    guest = guest_of(guest_home)
    with at_work(guest_home) as harness:
        assert guest.stub.exists()
        harness.end_by(signum)
    wait_until_gone(guest.stub)
    assert status_of(guest) == "running"
    assert "gdb" not in guest_home.names()


@pytest.mark.guest
def test_one_gdb_at_a_time(guest_home: Home) -> None:
    assert guest_home.run(*KEEP).code == 0
    with at_work(guest_home):
        said = guest_home.run("gdb", "latest", "--", "-batch")
    assert said.code == 2
    assert "another harness uses the monitor" in said.error


@pytest.mark.guest
def test_ctrl_c_is_gdbs_own(guest_home: Home) -> None:
    assert guest_home.run(*KEEP).code == 0
    guest = guest_of(guest_home)
    with seated(guest_home, "gdb") as seat:
        seat.wait_for("(gdb) ")
        os.write(seat.master, b"\x03")
        seat.wait_for("Quit")
        os.write(seat.master, b"python print(6 * 7)\n")
        seat.wait_for("42\r\n")
        # A Ctrl-C before the packet that resumes the guest is lost: to a QEMU that ignores it.
        os.write(seat.master, b"set debug remote 1\n")
        os.write(seat.master, b"continue\n")
        seat.wait_for("Sending packet: $vCont;c")
        os.write(seat.master, b"\x03")
        seat.wait_for("SIGINT")
        os.write(seat.master, b"set confirm off\nquit\n")
        assert seat.end() == 0
        assert seat.is_as_before
    assert status_of(guest) == "running"


@pytest.mark.guest
def test_a_panic_is_recorded_where_it_begins_and_its_memory_is_dumped(guest_home: Home) -> None:
    small = (*PANIC, "--memory", "128")
    assert guest_home.run(*small).code == 1
    before = cell_of(guest_home)["verdict"]
    # Without keep, the built-in guest ends with its panic.
    said = guest_home.run(*small, "--gdb-on-panic", "--dump", "--tunable", "harness.keep=1")
    assert said.code == 1
    cell = cell_of(guest_home)
    assert cell["debug"]["ddb"] is None
    assert functions_in(cell["debug"]["gdb"]["output"])[:7] == ["vpanic", "panic", *CALLERS]
    assert "at ./images/embedded/vm_map.c:" in cell["debug"]["gdb"]["output"]
    for key in ("outcome", "title", "symbolized", "titles"):
        assert cell["verdict"][key] == before[key]

    dump = cell["debug"]["dump"]
    assert dump["note"] == ""
    assert dump["disk"] < dump["bytes"] // 4
    opened = guest_home.run("gdb", "latest", "--", "-batch", "-ex", "bt", "-ex", "info threads")
    found = functions_in(opened.stdout)
    start = found.index("vpanic")
    assert found[start : start + 7] == ["vpanic", "panic", *CALLERS]
    assert "LWP 2" in opened.stdout


@pytest.mark.guest
def test_the_user_gets_gdb_where_a_panic_begins(guest_home: Home) -> None:
    with seated(guest_home, *PANIC, "--gdb-on-panic") as seat:
        seat.wait_for("(gdb) ")
        os.write(seat.master, b"bt 3\n")
        seat.wait_for("vm_map_entry_create")
        os.write(seat.master, b"set confirm off\nquit\n")
        assert seat.end() == 1
    cell = cell_of(guest_home)
    assert cell["verdict"]["outcome"] == "panic"
    assert cell["debug"]["gdb"] == {"output": "", "note": ""}
    guest_home.wait_until_nothing_runs()


@pytest.mark.guest
def test_a_guest_that_boots_is_neither_stopped_nor_dumped(guest_home: Home) -> None:
    assert guest_home.run(*BOOT, "--gdb-on-panic", "--dump").code == 0
    debug = cell_of(guest_home)["debug"]
    assert debug["gdb"] == {"output": "", "note": "the guest did not panic"}
    assert debug["dump"]["note"] == "the guest did not fail"
    latest = max(guest_home.runs.iterdir())
    assert not list(latest.glob("*/memory.core"))


@pytest.mark.guest
def test_without_guest_and_dump_there_is_nothing_to_debug(guest_home: Home) -> None:
    assert guest_home.run(*BOOT).code == 0
    said = guest_home.run("gdb", "latest", "--", "-batch")
    assert said.code == 2
    assert "neither a running guest nor a memory dump" in said.error
