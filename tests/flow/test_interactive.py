"""A user at the guest's console, played through a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import tty

import pytest
from command import SECONDS, Home
from seats import seated

from harness.cli.streams import Sink
from harness.cli.terminal import AttachedTap
from harness.guest.serialtap import Detached

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg", "--interactive")
HANG = (*BOOT, "--tunable", "harness.plant=hang")
CONNECTED = "Ctrl-] detaches"
BANNER = "---<<BOOT>>---"
LEAVE = b"\x1d"


def test_without_a_terminal_it_is_refused(guest_home: Home) -> None:
    said = guest_home.run(*BOOT)
    assert said.code == 2
    assert "requires a terminal" in said.error


def test_it_and_json_exclude_each_other(guest_home: Home) -> None:
    assert "--json" in guest_home.run(*BOOT, "--json").error


@pytest.mark.guest
def test_the_user_sees_the_guest_and_then_the_verdict(guest_home: Home) -> None:
    with seated(guest_home, *BOOT) as seat:
        seat.wait_for(CONNECTED)
        seat.wait_for(BANNER)
        assert seat.end() == 0
        assert "booted" in seat.seen.partition("Powering system off")[2]
        assert seat.is_as_before
    assert BANNER in guest_home.run("console").stdout


@pytest.mark.guest
def test_leaving_ends_the_guest(guest_home: Home) -> None:
    with seated(guest_home, *HANG) as seat:
        seat.wait_for(BANNER)
        assert not seat.is_as_before
        os.write(seat.master, b"nobody hears this" + LEAVE)
        assert seat.end() == 3, "nothing is proven of the kernel"
        assert seat.is_as_before
    cell = json.loads(guest_home.run("report", "--json").stdout)["cells"][0]
    assert cell["verdict"]["outcome"] == "unverified"
    assert "interrupted" in cell["verdict"]["title"]
    guest_home.wait_until_nothing_runs()


@pytest.mark.guest
def test_leaving_a_guest_that_is_kept_lets_it_run_and_one_can_come_back(guest_home: Home) -> None:
    with seated(guest_home, *BOOT, "--keep") as seat:
        seat.wait_for("halted")
        os.write(seat.master, LEAVE)
        assert seat.end() == 0
    with seated(guest_home, "console", "--interactive") as seat:
        seat.wait_for("halted")
        os.write(seat.master, LEAVE)
        assert seat.end() == 0
        assert seat.is_as_before
    assert len(json.loads(guest_home.run("ps", "--json").stdout)["guests"]) == 1


@pytest.mark.guest
def test_whoever_sits_at_a_guest_is_told_of_its_end(guest_home: Home) -> None:
    with seated(guest_home, *BOOT, "--keep") as seat:
        seat.wait_for("halted")
        os.write(seat.master, LEAVE)
        assert seat.end() == 0
    with seated(guest_home, "console", "--interactive") as seat:
        seat.wait_for("halted")
        assert guest_home.run("stop").code == 0
        assert seat.end() == 0
        assert "has ended" in seat.seen
        assert seat.is_as_before


@pytest.mark.guest
def test_a_signal_ends_the_guest_and_gives_the_terminal_back(guest_home: Home) -> None:
    with seated(guest_home, *HANG) as seat:
        seat.wait_for(BANNER)
        seat.popen.send_signal(signal.SIGTERM)
        assert seat.end() == 128 + signal.SIGTERM
        assert seat.is_as_before
    guest_home.wait_until_nothing_runs()


@pytest.mark.guest
def test_a_terminal_that_is_closed_takes_the_guest_with_it(guest_home: Home) -> None:
    with seated(guest_home, *HANG) as seat:
        seat.wait_for(BANNER)
        os.close(seat.slave)
        os.close(seat.master)
        assert seat.popen.wait(SECONDS) == 128 + signal.SIGHUP
    guest_home.wait_until_nothing_runs()


class OneWord:
    """A tap that has one thing to say, whenever it is read."""

    def __init__(self) -> None:
        self.typed = b""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        del timeout, also
        return b"word"

    def write(self, data: bytes) -> None:
        self.typed += data


def test_what_was_shown_was_read_though_the_user_leaves_meanwhile() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", buffering=0), os.fdopen(master, "r+b", buffering=0) as user:
        tty.setraw(slave)
        tap = OneWord()
        line = AttachedTap(tap, slave, Sink(slave, "the terminal"))
        assert line.read(0) == b"word"
        user.write(b"ab" + LEAVE + b"c")
        assert select.select([slave], [], [], SECONDS)[0]
        with pytest.raises(Detached):
            line.read(0)
        assert tap.typed == b"ab"
        assert user.read(100) == b"word"
