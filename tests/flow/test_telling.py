"""What a run leaves and how it is told: tables, JSON, JUnit, consoles."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import SECONDS, Home, Said
from junitparser import Error, Failure, JUnitXml, TestCase

pytestmark = pytest.mark.guest

COMPARE = ("compare", "--source", "embedded", "--numa", "1,4", "--kasan")
PANICS = ("boot", "--source", "embedded", "--mutant", "drop-commit", "--numa", "4")
NOISE = ("boot", "--source", "embedded", "--tunable", "harness.plant=noise")
NO_MEMORY = ("boot", "--source", "embedded", "--memory", "100000000")


def document(said: Said) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def cases(path: Path) -> dict[str, TestCase]:
    """The test cases of a JUnit file, read as a CI reads it."""
    return {case.name: case for suite in JUnitXml.fromfile(str(path)) for case in suite}


def test_comparison_is_a_table_of_cells(shared_home: Home) -> None:
    said = shared_home.run(*COMPARE)
    assert said.code == 0
    title, _, *rows = said.stdout.splitlines()[:6]
    assert title == "built-in guest (not FreeBSD), booted by qemu/tcg/direct"
    assert [row.split()[0] for row in rows] == [
        "before-kasan-numa1", "before-kasan-numa4", "after-kasan-numa1", "after-kasan-numa4"
    ]  # fmt: skip
    assert ["panic:" in row for row in rows] == [False, True, False, False]
    assert all("as expected" in row and "(not FreeBSD)" in row for row in rows)
    assert "vm_map_entry_create at images/embedded/vm_map.c:" in said.stdout
    assert said.stdout.endswith("\n4 of 4 as expected\n")


def test_report_tells_the_run_again(shared_home: Home) -> None:
    first = shared_home.run(*PANICS)
    again = shared_home.run("report")
    assert (again.code, again.stdout) == (first.code, first.stdout)
    assert again.code == 1
    assert re.search(r"^none-numa4 .* panic: .* booted +[\d.]+$", again.stdout, re.MULTILINE)


def test_json_is_the_record(shared_home: Home) -> None:
    said = shared_home.run(*PANICS, "--json")
    told = document(said)
    directory = shared_home.runs / told["name"]
    assert told == json.loads((directory / "record.json").read_text())
    assert told == document(shared_home.run("report", told["name"], "--json"))
    (cell,) = told["cells"]
    assert cell["verdict"]["outcome"] == "panic"
    assert cell["verdict"]["symbolized"][0]["function"]
    assert told["exit_code"] == said.code == 1


def test_run_leaves_its_directory(shared_home: Home, tmp_path: Path) -> None:
    assert shared_home.run(*PANICS, "--out", tmp_path).code == 1
    (directory,) = tmp_path.iterdir()
    assert {path.name for path in directory.iterdir()} >= {"record.json", "none-numa4"}
    (console,) = directory.glob("*/console.log")
    assert b"panic: " in console.read_bytes()
    events = (console.parent / "events.jsonl").read_text().splitlines()
    assert any(json.loads(line)["event"] == "Panic" for line in events)
    assert "qemu-system-x86_64" in (console.parent / "guest.qemu").read_text()


def test_no_line_is_filled_with_spaces_where_there_is_no_terminal(shared_home: Home) -> None:
    for words in (PANICS, ("doctor",), ("mutants", "--list"), ("runs",)):
        lines = shared_home.run(*words).stdout.splitlines()
        assert lines
        assert [line for line in lines if line.endswith(" ")] == []


def test_quiet_says_results_only(shared_home: Home) -> None:
    said = shared_home.run(*PANICS, "-q")
    assert said.stderr == ""
    assert "panic" in said.stdout


def test_kernels_failure_is_a_junit_failure_with_its_backtrace(
    shared_home: Home, tmp_path: Path
) -> None:
    path = tmp_path / "junit.xml"
    assert shared_home.run(*PANICS, "--junit", path).code == 1
    (result,) = cases(path)["none-numa4"].result
    assert isinstance(result, Failure)
    assert result.type == "panic"
    assert "vm_map_entry_create: kernel resources exhausted" in result.text
    assert "kmem_init at images/embedded/vm_map.c:" in result.text


def test_hosts_trouble_is_a_junit_error(shared_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    assert shared_home.run(*NO_MEMORY, "--junit", path).code == 3
    (result,) = cases(path)["none-numa1"].result
    assert isinstance(result, Error)
    assert "needs more memory than the host has" in result.message


def test_hosts_trouble_with_the_kernel_is_a_junit_error(shared_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.with_name("bin").mkdir()
    said = shared_home.run(*PANICS, "--junit", path, "--accelerator", "tcg", PATH=str(tmp_path))
    assert said.code == 3
    (result,) = cases(path)["none-numa4"].result
    assert isinstance(result, Error)


def test_expected_panic_is_a_passed_junit_case(shared_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    assert shared_home.run(*COMPARE, "--junit", path).code == 0
    assert len(cases(path)) == 4
    assert not any(case.result for case in cases(path).values())


def test_unmet_expectation_is_told_by_exit_code_and_junit(
    shared_home: Home, tmp_path: Path
) -> None:
    path = tmp_path / "junit.xml"
    expect = ("--expect", "before=booted", "--expect", "4:after=hang")
    said = shared_home.run(*COMPARE, *expect, "--junit", path)
    assert said.code == 1
    failed = {name for name, case in cases(path).items() if case.result}
    assert failed == {"before-kasan-numa4", "after-kasan-numa4"}


def test_junit_that_cannot_be_written_does_not_swallow_the_result(shared_home: Home) -> None:
    said = shared_home.run(*PANICS, "--junit", "/proc/junit.xml")
    assert said.code == 3
    assert "harness: cannot write /proc/junit.xml" in said.stderr
    assert "panic: " in said.stdout


def test_guests_control_characters_reach_no_terminal(shared_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    said = shared_home.run(*NOISE, "-v", "--junit", path)
    assert cases(path)
    told = [said.stdout, said.stderr, shared_home.run("report").stdout]
    console = shared_home.run("console")
    assert console.code == 0
    raw = next((shared_home.runs / latest(shared_home)).glob("*/console.log")).read_bytes()
    assert b"\x1b" in raw, "the guest prints them"
    for text in (*told, console.stdout):
        assert not [char for char in text if not char.isprintable() and char != "\n"]


def test_raw_console_is_what_came(shared_home: Home) -> None:
    shared_home.run(*NOISE)
    raw = next((shared_home.runs / latest(shared_home)).glob("*/console.log")).read_bytes()
    said = shared_home.run("console", "--raw")
    assert said.stdout == raw.decode("utf-8", "replace")


def test_console_as_json_says_where_it_is(shared_home: Home) -> None:
    run = document(shared_home.run(*PANICS, "--json"))["name"]
    told = document(shared_home.run("console", "--json"))
    path = Path(told["console"])
    assert path == shared_home.runs / run / "none-numa4" / "console.log"
    assert (told["bytes"], told["runs"]) == (path.stat().st_size, False)


def latest(home: Home) -> str:
    return str(document(home.run("report", "--json"))["name"])


def test_dry_run_prints_the_command_line_and_boots_nothing(shared_home: Home) -> None:
    before = len(list(shared_home.runs.glob("*")))
    said = shared_home.run("boot", "--source", "embedded", "--numa", "2", "--dry-run")
    assert said.code == 0
    assert said.stdout.startswith("qemu-system-x86_64 ")
    assert said.stdout.count("\n") == 1, "a line to be copied"
    assert "-numa" in said.stdout
    assert len(list(shared_home.runs.glob("*"))) == before
    booted = subprocess.run(
        ["sh", "-c", said.stdout], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=True,
    )  # fmt: skip
    assert "NOT FreeBSD" in booted.stdout
    assert "domains=2" in booted.stdout


@pytest.mark.parametrize("plant", ["trap", "hang", "reset", "end"])
def test_every_end_has_its_verdict(shared_home: Home, plant: str) -> None:
    outcomes = {"trap": "trap", "hang": "hang", "reset": "reset", "end": "ended"}
    words = ("--tunable", f"harness.plant={plant}", "--timeout", "6", "--json")
    said = shared_home.run("boot", "--source", "embedded", *words)
    (cell,) = document(said)["cells"]
    assert (said.code, cell["verdict"]["outcome"]) == (1, outcomes[plant])
    again = [repeat["outcome"] for repeat in cell["repeats"]]
    assert again == ([] if plant == "trap" else [outcomes[plant]]), "but a trap is none by itself"


def test_git_bisect_hears_bad_and_good(shared_home: Home) -> None:
    assert shared_home.run(*PANICS, "--git-bisect").code == 1
    assert shared_home.run("boot", "--source", "embedded", "--git-bisect").code == 0
