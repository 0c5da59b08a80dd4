"""Readings of proc(5) that stand in for psutil, which is slow to import."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from harness.host.memory import available_memory
from harness.host.procfs import bound_sockets, process_ids


def test_the_available_memory_is_that_of_meminfo(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       24 kB\nMemAvailable:   7 kB\nBuffers:        1 kB\n")
    assert available_memory(meminfo) == 7 * 1024


@pytest.mark.parametrize("text", [None, "", "MemTotal: 24 kB\n"])
def test_without_it_psutil_finds_the_available_memory(tmp_path: Path, text: str | None) -> None:
    meminfo = tmp_path / "meminfo"
    if text is not None:
        meminfo.write_text(text)
    assert 0 < available_memory(meminfo) <= psutil.virtual_memory().total


def test_the_processes_are_those_of_the_host() -> None:
    assert {os.getpid(), os.getppid()} <= set(process_ids())


def test_bound_sockets_are_found_by_their_whole_path(tmp_path: Path) -> None:
    bound, closed = tmp_path / "with a blank.sock", tmp_path / "closed"
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(str(bound))
        other.bind(str(closed))
        assert {str(bound), str(closed)} <= bound_sockets()
    assert closed.is_socket()
    assert not {str(bound), str(closed)} & bound_sockets()
