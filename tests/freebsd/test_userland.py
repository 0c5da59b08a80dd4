"""Guests with FreeBSD's userland: commands, panics and suites, on ``$HARNESS_NEWER_SOURCE``.

The world is built if the cache has none, which takes half an hour; ``overlay`` of ``[image]`` has
what the clone lacks. The tests after the first take a minute or two each.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness_command import harness
from junitparser import JUnitXml

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(7200)]

GUEST = ("--numa", "2", "--kasan", "--memory", "1536", "--world", "tests")


def test_command_runs_in_a_guest_on_as_many_domains_as_asked_for(
    newer_tree: Path, tmp_path: Path
) -> None:
    answer = harness(
        "exec", "--source", newer_tree, *GUEST, out=tmp_path, guest="sysctl -n vm.ndomains; exit 3"
    )
    (cell,) = answer.cells().values()
    assert cell["verdict"]["outcome"] == "booted", answer.told
    assert (cell["program"]["status"], cell["program"]["good"]) == (3, False)
    assert (tmp_path / answer.document["name"] / cell["name"] / "stdout.log").read_text() == "2\n"
    assert answer.code == 1


def test_standard_output_is_the_commands_alone(newer_tree: Path, tmp_path: Path) -> None:
    words = [
        "exec",
        "--source",
        str(newer_tree),
        *GUEST,
        "--out",
        str(tmp_path),
        "--",
        "echo hello",
    ]
    program = [sys.executable, "-c", "from harness.cli.main import main; main()"]
    finished = subprocess.run([*program, *words], capture_output=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, b"hello\n"), finished.stderr


def test_files_are_copied_into_the_guest_and_back(newer_tree: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 1000)
    answer = harness(
        "exec", "--source", newer_tree, *GUEST, "--put", f"{source}:/tmp/a", "--get",
        f"/tmp/b:{target}", out=tmp_path / "out", guest="cp /tmp/a /tmp/b",
    )  # fmt: skip
    assert answer.code == 0, answer.told
    assert target.read_bytes() == source.read_bytes()


def test_panic_while_a_command_runs_is_a_panic(newer_tree: Path, tmp_path: Path) -> None:
    answer = harness(
        "exec", "--source", newer_tree, *GUEST, out=tmp_path,
        guest="echo before; sysctl debug.kdb.panic=1",
    )  # fmt: skip
    (cell,) = answer.cells().values()
    assert cell["verdict"]["outcome"] == "panic", answer.told
    functions = [frame["function"] for frame in cell["verdict"]["symbolized"]]
    assert "kdb_sysctl_panic" in functions
    output = tmp_path / answer.document["name"] / cell["name"] / "stdout.log"
    assert output.read_text().startswith("before")
    assert answer.code == 1


def loses_the_connection_only(newer_tree: Path, command: str, out: Path) -> None:
    answer = harness("exec", "--source", newer_tree, *GUEST, out=out, guest=command)
    (cell,) = answer.cells().values()
    assert cell["verdict"]["outcome"] == "booted", answer.told
    assert "console answers" in cell["program"]["unfinished"]
    assert answer.code == 1


def test_lost_connection_of_a_guest_that_goes_on_is_told_as_that(
    newer_tree: Path, tmp_path: Path
) -> None:
    command = "(sleep 2; ifconfig vtnet0 down) >/dev/null 2>&1 & sleep 100000"
    loses_the_connection_only(newer_tree, command, tmp_path)


def test_dry_run_of_a_guest_with_a_userland_names_its_disk(
    newer_tree: Path, tmp_path: Path
) -> None:
    answer = harness(
        "boot", "--source", newer_tree, *GUEST, "--until", "ssh", "--dry-run", out=tmp_path
    )
    assert "/root.qcow2" in answer.document["guest"], answer.told
    assert answer.code == 0


def test_command_that_kills_sshd_and_its_own_session_loses_the_connection(
    newer_tree: Path, tmp_path: Path
) -> None:
    # Without -a, pkill(1) spares its ancestors: all of sshd that there is.
    command = "pkill -a -x sshd; pkill -a -f sshd-session; sleep 100000"
    loses_the_connection_only(newer_tree, command, tmp_path)


PROGRAMS = {
    "a_passes": "sysctl -n vm.ndomains",
    "b_panics": "echo before; sleep 1; sysctl debug.kdb.panic=1",
    "c_passes": "true",
    "d_fails": "echo wrong >&2; exit 1",
}
ISSUES = """\
[[issue]]
name = "fails"
title = "own/d_fails:main"
owner = "nobody"
reason = "it is written to fail"
added = 2026-01-01
expires = 9999-01-01
"""


def test_programs_of_the_users_are_a_suite_whose_rest_runs_after_a_panic(
    newer_tree: Path, tmp_path: Path
) -> None:
    programs, issues = tmp_path / "own", tmp_path / "issues.toml"
    programs.mkdir()
    for name, script in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    issues.write_text(ISSUES)
    answer = harness(
        "kyua", "--source", newer_tree, *GUEST, "--put", f"{programs}:/usr/tests/own", "--issues",
        issues, "own", out=tmp_path / "out",
    )  # fmt: skip
    results = {test["test"]: (test["result"], test["known"]) for test in answer.document["tests"]}
    assert results == {
        "own/a_passes:main": ("passed", ""),
        "own/b_panics:main": ("panicked", ""),
        "own/c_passes:main": ("passed", ""),
        "own/d_fails:main": ("failed", "fails"),
    }, answer.told
    assert len(answer.cells()) == 2
    assert answer.code == 1


def test_suite_of_the_virtual_memory_system_passes(newer_tree: Path, tmp_path: Path) -> None:
    junit = tmp_path / "tests.xml"
    answer = harness(
        "kyua", "--source", newer_tree, *GUEST, "--junit", junit, "sys/vm", out=tmp_path / "out"
    )
    results = {test["test"]: test["result"] for test in answer.document["tests"]}
    assert len(results) == 25, answer.told
    assert set(results.values()) <= {"passed", "skipped"}
    (suite,) = [each for each in JUnitXml.fromfile(str(junit)) if each.name == "sys/vm"]
    assert suite.tests == 25
    assert answer.code == 0


@pytest.mark.parametrize("sanitizer", ["", "--kasan"])
def test_module_of_the_kernel_under_test_is_loaded(
    newer_tree: Path, tmp_path: Path, sanitizer: str
) -> None:
    words = [*filter(None, (sanitizer,)), "--world", "tests", "--module", "fdescfs"]
    for more in ((), ("--no-snapshot",)):
        answer = harness(
            "exec", "--source", newer_tree, *words, *more, out=tmp_path,
            guest="kldload fdescfs && kldstat -q -m fdescfs",
        )  # fmt: skip
        (cell,) = answer.cells().values()
        assert (cell["program"]["status"], answer.code) == (0, 0), answer.told
