"""Which guests there are, and their end."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from command import SECONDS, Home

from harness.cli.ps import format_age

KEEP = ("boot", "--source", "embedded", "--accelerator", "tcg", "--keep", "-q")


def names(guest_home: Home) -> list[str]:
    return [guest["name"] for guest in json.loads(guest_home.run("ps", "--json").stdout)["guests"]]


def test_without_guests_ps_says_so_and_stop_has_nothing_to_do(guest_home: Home) -> None:
    ps = guest_home.run("ps")
    assert (ps.code, ps.stdout) == (0, "")
    assert "harness boot --keep" in ps.stderr
    for words in ((), ("--all",), ("latest",)):
        assert guest_home.run("stop", *words).code == 0, words


def test_stop_refuses_a_name_that_nobody_knows(guest_home: Home) -> None:
    said = guest_home.run("stop", "nobody")
    assert said.code == 2
    assert "'nobody'" in said.error


def test_stop_takes_either_a_name_or_all(guest_home: Home) -> None:
    assert guest_home.run("stop", "--all", "one").code == 2


@pytest.mark.guest
def test_guests_are_told_apart_and_ended_one_by_one(guest_home: Home) -> None:
    for nodes in ("1", "1", "2"):
        assert guest_home.run(*KEEP, "--numa", nodes).code == 0
    assert names(guest_home) == ["none-numa1", "none-numa1-2", "none-numa2"]
    assert "built-in guest (not FreeBSD)" in guest_home.run("ps").stdout

    refused = guest_home.run("stop")
    assert refused.code == 2
    assert "none-numa1-2" in refused.error

    assert guest_home.run("stop", "none-numa1").code == 0
    assert names(guest_home) == ["none-numa1-2", "none-numa2"]
    assert guest_home.run("stop", "latest").code == 0
    assert names(guest_home) == ["none-numa1-2"]
    run = json.loads(guest_home.run("ps", "--json").stdout)["guests"][0]["run"]
    assert guest_home.run("stop", run).code == 0
    assert guest_home.run("stop", run).code == 0
    assert names(guest_home) == []


@pytest.mark.guest
def test_a_guest_that_has_died_is_no_longer_listed(guest_home: Home) -> None:
    assert guest_home.run(*KEEP).code == 0
    (guest,) = json.loads(guest_home.run("ps", "--json").stdout)["guests"]
    psutil.Process(guest["process"]["pid"]).kill()
    psutil.wait_procs([psutil.Process(guest["process"]["pid"])], timeout=0.1)
    while names(guest_home):
        pass
    guest_home.wait_until_nothing_runs()
    assert not Path(guest["socket"] + ".in").exists()


@pytest.mark.guest
def test_a_guest_that_an_older_version_kept_is_named_with_what_ends_it(guest_home: Home) -> None:
    """Its record has no boot of the host in it, and the start of its QEMU by the wall clock."""
    assert guest_home.run(*KEEP).code == 0
    (record,) = guest_home.directory.glob("state/harness/guests/*/guest.json")
    document = json.loads(record.read_text())
    qemu = psutil.Process(document["process"]["pid"])
    document["process"] = {"pid": qemu.pid, "started": qemu.create_time()}
    del document["kernel"]
    record.write_text(json.dumps(document))
    for command in ("ps", "stop"):
        said = guest_home.run(command)
        assert said.code == 0
        assert "none-numa1 was kept by an older version of the harness" in said.stderr
        assert record.exists()
    pids = said.stderr.partition("end it: kill ")[2].splitlines()[0].split()
    assert str(qemu.pid) in pids
    for pid in pids:
        psutil.Process(int(pid)).terminate()
    guest_home.wait_until_nothing_runs()
    assert "older version" not in guest_home.run("ps").stderr
    assert not record.exists()


@pytest.mark.guest
def test_following_a_console_ends_with_the_guest(guest_home: Home) -> None:
    assert guest_home.run(*KEEP).code == 0
    with guest_home.started("console", "--follow") as following:
        assert guest_home.run("stop").code == 0
        assert following.popen.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (7800, "2 h 10 min"), (356400, "4 d 3 h")],
)
def test_ages_have_their_two_greatest_units(seconds: float, text: str) -> None:
    assert format_age(seconds) == text
