"""Reports of sanitizers after which the kernel goes on: where they are told, and when they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import Home, Said
from junitparser import Failure, JUnitXml, TestCase

pytestmark = pytest.mark.guest

PLANT = ("--source", "embedded", "--numa", "1", "--tunable")
TITLE = (
    "UBSan: Undefined Behavior in plant.c, signed integer overflow: N + N cannot be represented "
    "in type 'int'"
)


def cells(said: Said) -> dict[str, dict[str, Any]]:
    return {cell["name"]: cell for cell in json.loads(said.stdout)["cells"]}


def case(path: Path) -> TestCase:
    (found,) = (case for suite in JUnitXml.fromfile(str(path)) for case in suite)
    return found


@pytest.mark.parametrize("sanitizers", ["kubsan", "kasan,kubsan"])
def test_an_overflow_is_reported_and_the_boot_is_as_expected(
    shared_home: Home, sanitizers: str, tmp_path: Path
) -> None:
    words = ("--sanitizer", sanitizers, "--junit", str(tmp_path / "junit.xml"))
    said = shared_home.run("boot", *PLANT, "harness.plant=sum", *words)
    assert said.code == 0
    assert "booted, 1 report" in said.stdout
    assert f"  report: {TITLE}\n" in said.stdout
    assert not case(tmp_path / "junit.xml").result
    assert f"report: {TITLE}" in case(tmp_path / "junit.xml").system_out


def test_a_report_fails_the_boot_if_that_is_asked_for(shared_home: Home, tmp_path: Path) -> None:
    words = ("--kubsan", "--fail-on-report", "--junit", str(tmp_path / "junit.xml"), "--json")
    said = shared_home.run("boot", *PLANT, "harness.plant=sum", *words)
    assert said.code == 1
    (cell,) = cells(said).values()
    assert cell["verdict"]["outcome"] == "booted"
    assert cell["verdict"]["reports"] == cell["failing"] == [TITLE]
    (failure,) = case(tmp_path / "junit.xml").result
    assert isinstance(failure, Failure)
    assert TITLE in failure.message


def test_without_a_report_nothing_fails(shared_home: Home) -> None:
    said = shared_home.run(
        "boot", "--source", "embedded", "--numa", "1", "--kubsan", "--fail-on-report", "--json"
    )
    (cell,) = cells(said).values()
    assert (said.code, cell["verdict"]["reports"]) == (0, [])


@pytest.mark.parametrize(("plant", "failing"), [("sum-after", [TITLE]), ("sum", [])])
def test_a_comparison_fails_by_a_report_that_before_lacks(
    shared_home: Home, plant: str, failing: list[str]
) -> None:
    said = shared_home.run("compare", *PLANT, f"harness.plant={plant}", "--kubsan", "--json")
    found = cells(said)
    assert said.code == (1 if failing else 0)
    assert found["after-kubsan-numa1"]["verdict"]["reports"] == [TITLE]
    assert found["after-kubsan-numa1"]["failing"] == failing
    assert found["before-kubsan-numa1"]["as_expected"]


def test_git_bisect_is_told_of_a_report(shared_home: Home) -> None:
    words = ("--kubsan", "--fail-on-report", "--git-bisect")
    assert shared_home.run("boot", *PLANT, "harness.plant=sum", *words).code == 1
    assert shared_home.run("boot", *PLANT, "harness.plant=sum", *words[::2]).code == 0
