"""``harness check`` on the built-in guest: what it tells, keeps, and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Home, Said
from inprocess import call
from junitparser import Failure, JUnitXml

from harness.subsystems.uma.model.trace import parse_trace

pytestmark = pytest.mark.guest

CHECK = ("check", "--source", "embedded", "--numa", "2", "--ops", "200")
#: Without the commit, and all the same it boots: the reserve lies where the boot CPU asks.
BOOTS = ("--mutant", "drop-commit", "--tunable", "uma.prealloc_domain=0")


def test_a_guest_that_does_what_the_model_says_exits_with_0(shared_home: Home) -> None:
    said = shared_home.run(*CHECK, "--kasan")
    assert said.code == 0, said
    assert "booted, check passed" in said.stdout
    assert "not FreeBSD" in said.stdout


@pytest.fixture(scope="module")
def junit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wrong") / "junit.xml"


@pytest.fixture(scope="module")
def wrong(shared_home: Home, junit: Path) -> Said:
    """A check of a guest that boots and is wrong."""
    return shared_home.run(*CHECK, *BOOTS, "--json", "--junit", junit)


def test_one_that_boots_and_is_wrong_is_caught_and_its_trace_is_kept(
    shared_home: Home, wrong: Said, junit: Path
) -> None:
    assert wrong.code == 1
    document = json.loads(wrong.stdout)
    (cell,) = document["cells"]
    assert (cell["verdict"]["outcome"], cell["check"]["conclusion"]) == ("booted", "differs")
    kept = shared_home.runs / document["name"] / cell["name"] / "difference.trace"
    assert kept.read_text() == cell["check"]["difference"]["trace"]
    (result,) = next(iter(next(iter(JUnitXml.fromfile(str(junit)))))).result
    assert isinstance(result, Failure)
    assert all(line in result.text for line in kept.read_text().splitlines())


def test_a_kept_trace_shows_it_again_and_the_model_reads_it(
    shared_home: Home, wrong: Said, tmp_path: Path
) -> None:
    first = json.loads(wrong.stdout)
    trace = tmp_path / "found.trace"
    trace.write_text(first["cells"][0]["check"]["difference"]["trace"])
    assert len(parse_trace(trace.read_text()).operations) <= 10
    assert shared_home.run(*CHECK, *BOOTS, "--replay", trace).code == 1
    assert shared_home.run(*CHECK, "--replay", trace).code == 0
    assert shared_home.run("model", "trace", trace).code == 0


def test_as_built_the_model_does_what_the_guest_does(shared_home: Home) -> None:
    assert shared_home.run(*CHECK, *BOOTS, "--spec", "as-built").code == 0


def test_each_seed_has_a_guest_of_its_own(shared_home: Home) -> None:
    said = shared_home.run(*CHECK, "--seed", "0,3-4,0xffffffffffffffff", "--json")
    cells = json.loads(said.stdout)["cells"]
    assert [cell["check"]["seed"] for cell in cells] == [0, 3, 4, "0xffffffffffffffff"]


def test_a_boot_that_panics_is_no_check(shared_home: Home) -> None:
    said = shared_home.run(*CHECK, "--mutant", "drop-commit", "--json")
    (cell,) = json.loads(said.stdout)["cells"]
    assert (cell["verdict"]["outcome"], cell["check"]["conclusion"]) == ("panic", "gone")
    assert said.code == 1


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--spec", "13-aftr"), "--spec: the model has no variant '13-aftr'"),
        (("--replay", "/no/such.trace"), "cannot read the trace /no/such.trace"),
        (
            ("--seed", "18446744073709551616"),
            "--seed: seed '18446744073709551616': a seed has 64 bits",
        ),
        (
            ("--seed", "0-18446744073709551615"),
            "--seed: seed '0-18446744073709551615': more than 999",
        ),
        (("--seed", "x"), "--seed: seed 'x': 'x' is neither a number nor a range"),
        (("--numa", "1,2"), "--numa 1,2 names several guests"),
    ],
)
def test_what_cannot_be_checked_is_told(
    shared_home: Home, words: tuple[str, ...], error: str
) -> None:
    said = call(shared_home, *CHECK, *words)
    assert said.code == 2
    assert said.error.startswith(f"harness: {error}"), said.stderr


def test_a_trace_for_other_guests_is_refused(shared_home: Home, tmp_path: Path) -> None:
    trace = tmp_path / "wide.trace"
    trace.write_text("variant 13-after\nzone domains=8 ipers=2\nalloc domain=7 M_NOWAIT\n")
    said = call(shared_home, *CHECK, "--replay", trace)
    assert said.code == 2
    assert "the trace is for 8 domains, the guest has 2" in said.error
    assert "Traceback" not in said.stderr
