"""``harness judge``: what it reports of logs, and by which exit code."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from command import Home
from junitparser import JUnitXml

BANNER = (
    b"---<<BOOT>>---\n"
    b"FreeBSD 15.1-RELEASE #0 n280000: Mon Jan  5 10:00:00 UTC 2026\n"
    b"    builder@example.org:/usr/obj/usr/src/amd64.amd64/sys/GENERIC amd64\n"
)
BOOTED = BANNER + b"Trying to mount root from ufs:/dev/md0 []...\n"
PANICKED = (
    BANNER + b"panic: sx lock still held\ncpuid = 1\ntime = 1\nKDB: stack backtrace:\n"
    b"panic() at panic+0x43/frame 0xfffffe0001000000\n"
    b"sx_destroy() at sx_destroy+0x10/frame 0xfffffe0001000010\n"
    b"gadget_free.isra.0() at gadget_free.isra.0+0x20/frame 0xfffffe0001000020\n"
)
LOADER = b"FreeBSD/amd64 EFI loader, Revision 3.0\npanic: out of memory\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory with a log of each kind."""
    directory = tmp_path / "logs"
    directory.mkdir()
    contents = {
        "booted": BOOTED,
        "panicked": PANICKED,
        "stopped": BANNER,
        "loader": LOADER,
        "empty": b"",
        "binary": os.urandom(4096).replace(b"\x1f\x8b", b"xx"),
        "packed": gzip.compress(BOOTED),
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["booted"], 0),
        (["panicked"], 1),
        (["stopped"], 3),
        (["loader"], 3),
        (["empty"], 3),
        (["binary"], 3),
        (["booted", "stopped"], 3),
        (["booted", "stopped", "panicked"], 1),
    ],
)
def test_exit_code_is_the_worst_of_the_logs(
    shared_home: Home, logs: Path, names: list[str], code: int
) -> None:
    said = shared_home.run("judge", *(str(logs / name) for name in names))
    assert said.code == code
    assert [line for line in said.stdout.splitlines() if not line.startswith(" ")]
    assert said.stderr == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no such file or directory"),
        (".", "is a directory"),
        ("packed", "is compressed"),
    ],
)
def test_what_cannot_be_read_is_bad_usage(
    shared_home: Home, logs: Path, name: str, message: str
) -> None:
    said = shared_home.run("judge", str(logs / "panicked"), str(logs / name))
    assert said.code == 2
    assert message in said.error
    assert said.stdout == ""


def test_json_has_what_the_log_shows(shared_home: Home, logs: Path) -> None:
    said = shared_home.run("judge", "--json", str(logs / "panicked"))
    document = json.loads(said.stdout)
    (verdict,) = document["verdicts"]
    assert document["schema"] == 1
    assert verdict["file"] == str(logs / "panicked")
    assert verdict["verified"] is False
    assert (verdict["outcome"], verdict["kernel_entered"]) == ("panic", True)
    assert verdict["title"] == "sx lock still held in gadget_free"
    assert verdict["titles"] == [verdict["title"]]
    assert [frame["function"] for frame in verdict["frames"]] == [
        "panic", "sx_destroy", "gadget_free.isra.0",
    ]  # fmt: skip
    assert {"warnings", "stage"} <= verdict.keys()


def test_junit_tells_a_bad_kernel_from_a_log_that_stops(shared_home: Home, logs: Path) -> None:
    report = logs / "judged.xml"
    names = ["booted", "panicked", "stopped"]
    said = shared_home.run("judge", "--junit", str(report), *(str(logs / name) for name in names))
    assert said.code == 1
    (suite,) = JUnitXml.fromfile(str(report))
    found = [[type(result).__name__ for result in case.result] for case in suite]
    assert found == [[], ["Failure"], ["Error"]]


def test_standard_input_is_a_log(shared_home: Home, logs: Path) -> None:
    said = shared_home.run("judge", "-", stdin=logs / "panicked")
    assert said.code == 1
    assert said.stdout.startswith("-: panic: sx lock still held in gadget_free")


def test_goal_may_be_init_and_a_kernel_must_be_one(shared_home: Home, logs: Path) -> None:
    assert shared_home.run("judge", "--until", "init", str(logs / "booted")).code == 3
    said = shared_home.run("judge", "--kernel", str(logs / "binary"), str(logs / "booted"))
    assert said.code == 2
    assert "is not an ELF file" in said.error
