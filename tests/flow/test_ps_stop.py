"""Which guests there are, and their end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from command import SECONDS, Home

from harness.cli.ps import format_age

KEEP = ("boot", "--source", "embedded", "--accelerator", "tcg", "--keep", "-q")


def names(home: Home) -> list[str]:
    return [guest["name"] for guest in json.loads(home.run("ps", "--json").stdout)]


def test_without_guests_ps_says_so_and_stop_has_nothing_to_do(home: Home) -> None:
    ps = home.run("ps")
    assert (ps.code, ps.stdout) == (0, "")
    assert "harness boot --keep" in ps.stderr
    for words in ((), ("--all",), ("latest",)):
        assert home.run("stop", *words).code == 0, words


def test_stop_refuses_a_name_that_nobody_knows(home: Home) -> None:
    said = home.run("stop", "nobody")
    assert said.code == 2
    assert "'nobody'" in said.error


def test_stop_takes_either_a_name_or_all(home: Home) -> None:
    assert home.run("stop", "--all", "one").code == 2


@pytest.mark.guest
def test_guests_are_told_apart_and_ended_one_by_one(home: Home) -> None:
    for nodes in ("1", "1", "2"):
        assert home.run(*KEEP, "--numa", nodes).code == 0
    assert names(home) == ["none-numa1", "none-numa1-2", "none-numa2"]
    assert "built-in guest (not FreeBSD)" in home.run("ps").stdout

    refused = home.run("stop")
    assert refused.code == 2
    assert "none-numa1-2" in refused.error

    assert home.run("stop", "none-numa1").code == 0
    assert names(home) == ["none-numa1-2", "none-numa2"]
    assert home.run("stop", "latest").code == 0
    assert names(home) == ["none-numa1-2"]
    run = json.loads(home.run("ps", "--json").stdout)[0]["run"]
    assert home.run("stop", run).code == 0
    assert home.run("stop", run).code == 0
    assert names(home) == []


@pytest.mark.guest
def test_a_guest_that_has_died_is_no_longer_listed(home: Home) -> None:
    assert home.run(*KEEP).code == 0
    (guest,) = json.loads(home.run("ps", "--json").stdout)
    psutil.Process(guest["process"]["pid"]).kill()
    psutil.wait_procs([psutil.Process(guest["process"]["pid"])], timeout=0.1)
    while names(home):
        pass
    home.wait_until_nothing_runs()
    assert not Path(guest["socket"] + ".in").exists()


@pytest.mark.guest
def test_following_a_console_ends_with_the_guest(home: Home) -> None:
    assert home.run(*KEEP).code == 0
    with home.started("console", "--follow") as following:
        assert home.run("stop").code == 0
        assert following.popen.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (7800, "2 h 10 min"), (356400, "4 d 3 h")],
)
def test_ages_have_their_two_greatest_units(seconds: float, text: str) -> None:
    assert format_age(seconds) == text
