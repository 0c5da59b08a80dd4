"""Processes that are told apart by their start, counted from the boot of the host."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

from harness.host.clock import HostClock
from harness.host.processid import ProcessId

STAT = Path("/proc/self/stat")


def own() -> ProcessId:
    me = ProcessId.of(os.getpid())
    assert me is not None
    return me


def test_the_start_is_counted_from_boot_so_that_a_step_of_the_clock_changes_nothing() -> None:
    assert own().started == int(STAT.read_text().rpartition(")")[2].split()[19])
    assert own().boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert {field.name for field in fields(ProcessId)} == {"pid", "started", "boot"}


def test_a_process_of_another_start_or_another_boot_is_another() -> None:
    assert own().alive
    assert not replace(own(), started=own().started + 1).alive
    assert not replace(own(), boot="b3b2cbb4-5e5f-4b29-8c3a-000000000000").alive


def test_a_process_that_has_ended_is_not_alive_even_as_a_zombie() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = ProcessId.of(process.pid)
    assert found is not None
    assert found.alive
    found.kill(HostClock())
    assert not found.alive
    process.communicate()
    assert ProcessId.of(process.pid) is None
