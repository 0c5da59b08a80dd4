"""Guests that are kept: they outlive the harness, and end for certain when they are to."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from command import SECONDS, Home

from harness.guest.relay import RelayLimits, relay_argv
from harness.guest.serialtap import LogTap
from harness.host.process import HostRunner

KEEP = ("boot", "--source", "embedded", "--accelerator", "tcg", "--keep")
HALTED = "The operating system has halted."


def kept(guest_home: Home) -> list[dict[str, Any]]:
    guests: list[dict[str, Any]] = json.loads(guest_home.run("ps", "--json").stdout)["guests"]
    return guests


def verdict(guest_home: Home) -> dict[str, Any]:
    record = json.loads(guest_home.run("report", "--json").stdout)
    found: dict[str, Any] = record["cells"][0]["verdict"]
    return found


def wait_for_log(guest: dict[str, Any], text: str) -> None:
    """The relay may still be about to write what the guest said last."""
    with LogTap(Path(guest["console"]), None) as tap:
        said = b""
        while text.encode() not in said:
            said += tap.read(SECONDS) or b""


@pytest.mark.guest
@pytest.mark.parametrize("backend", ["qemu", "libvirt"])
def test_a_booted_guest_stays_until_it_is_stopped_and_then_leaves_but_its_record(
    guest_home: Home, backend: str
) -> None:
    boot = guest_home.run(*KEEP, "--numa", "2", "--backend", backend)
    assert boot.code == 0, boot.stderr
    (guest,) = kept(guest_home)
    assert guest["name"] in boot.stderr
    assert (guest["backend"], guest["nodes"]) == (backend, 2)
    assert running(guest)
    wait_for_log(guest, HALTED)

    assert guest_home.run("stop").stdout == f"{guest['name']}: ended\n"
    assert not running(guest)
    assert kept(guest_home) == []
    assert not list((guest_home.directory / "state" / "harness" / "guests").iterdir())
    assert not list((guest_home.directory / "run" / "harness").glob("*.console*"))
    assert guest_home.run("report", guest["run"]).code == 0


@pytest.mark.guest
def test_a_panicked_guest_stays_where_it_stopped(guest_home: Home) -> None:
    assert guest_home.run(*KEEP, "--numa", "2", "--mutant", "drop-commit").code == 1
    assert verdict(guest_home)["outcome"] == "panic"
    (guest,) = kept(guest_home)
    assert running(guest)
    wait_for_log(guest, HALTED)


def running(guest: dict[str, Any]) -> bool:
    pid = guest["process"]["pid"]
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.guest
@pytest.mark.parametrize("plant", ["reset", "trap"])
def test_a_guest_that_ended_by_itself_is_not_kept(guest_home: Home, plant: str) -> None:
    boot = guest_home.run(
        *KEEP, "--tunable", f"harness.plant={plant}", "--tunable", "harness.keep=0"
    )
    assert boot.code == 1
    assert "has ended by itself" in boot.stderr
    assert kept(guest_home) == []


@pytest.mark.guest
def test_a_guest_whose_harness_was_killed_before_the_verdict_is_ended(guest_home: Home) -> None:
    with guest_home.started(*KEEP, "-v", "--tunable", "harness.plant=hang") as harness:
        harness.wait_for_words("kernel at")
        harness.end_by(signal.SIGKILL)
    assert kept(guest_home) == []
    guest_home.wait_until_nothing_runs()


@pytest.mark.guest
def test_repair_ends_a_guest_whose_harness_was_killed_and_no_kept_one(guest_home: Home) -> None:
    assert guest_home.run(*KEEP).code == 0
    (well,) = kept(guest_home)
    with guest_home.started(*KEEP, "-v", "--tunable", "harness.plant=hang") as harness:
        harness.wait_for_words("kernel at")
        harness.end_by(signal.SIGKILL)
    said = guest_home.run("doctor", "--repair")
    assert "whose harness was killed before it kept it" in said.stdout, said
    assert kept(guest_home) == [well]
    assert running(well)
    assert "there were no leftovers" in guest_home.run("doctor", "--repair").stdout
    guest_home.run("stop")
    guest_home.wait_until_nothing_runs()


@pytest.mark.parametrize("words", [("--repeat", "2"), ("--repeat", "2", "--interactive")])
def test_only_one_guest_is_kept_at_a_time(guest_home: Home, words: tuple[str, ...]) -> None:
    said = guest_home.run(*KEEP, *words)
    assert said.code == 2
    assert "is for one guest" in said.error


# The relay, without a guest


def test_relay_keeps_the_beginning_of_a_flood_and_then_ends_the_guest(tmp_path: Path) -> None:
    log, entrance = tmp_path / "log", tmp_path / "in"
    log.write_bytes(b"before\n")
    guest, ours = socket.socketpair()
    with guest, ours, subprocess.Popen(["sleep", "1000"]) as qemu:
        limits = RelayLimits(len(b"before\n"), keep=100, end=100_000, pid=qemu.pid)
        words = relay_argv(ours.fileno(), log, entrance, limits)
        relay = HostRunner().spawn(words, pass_fds=[ours.fileno()])
        ours.close()
        try:
            guest.sendall(b"x" * 50_000)
            assert qemu.poll() is None
            with contextlib.suppress(BrokenPipeError):
                guest.sendall(b"x" * 50_000)
            assert relay.wait(SECONDS) == 0
            assert qemu.wait(SECONDS) == -signal.SIGKILL
        finally:
            relay.kill()
            qemu.kill()
    assert log.read_bytes() == b"before\n" + b"x" * 93


def test_relay_logs_what_comes_passes_on_what_is_typed_and_ends_with_the_console(
    tmp_path: Path,
) -> None:
    log, entrance = tmp_path / "log", tmp_path / "in"
    log.write_bytes(b"before\n")
    guest, ours = socket.socketpair()
    guest.settimeout(SECONDS)
    with guest, ours:
        limits = RelayLimits(0, 1 << 20, 1 << 20, 0)
        words = relay_argv(ours.fileno(), log, entrance, limits)
        relay = HostRunner().spawn(words, pass_fds=[ours.fileno()])
        ours.close()
        try:
            guest.sendall(b"said\n")
            with LogTap(log, None, offset=len(b"before\n")) as tap:
                assert read(tap, 5) == b"said\n"
            with LogTap(log, entrance) as one, LogTap(log, entrance) as other:
                one.write(b"x")
                assert guest.recv(10) == b"x"
                other.write(b"y")
                assert guest.recv(10) == b"y"
            guest.sendall(b"last\n")
            guest.close()
            assert relay.wait(SECONDS) == 0
        finally:
            relay.kill()
    assert log.read_bytes() == b"before\nsaid\nlast\n"
    assert not entrance.exists()


def read(tap: LogTap, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += tap.read(SECONDS) or b""
    return data


def test_typing_at_a_console_whose_guest_has_ended_harms_nobody(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"all there was")
    with LogTap(log, tmp_path / "in") as tap:
        tap.write(b"x")
        assert tap.read(0) == b"all there was"
        assert tap.read(0) is None
