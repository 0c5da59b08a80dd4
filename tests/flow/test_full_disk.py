"""Full disks: the host's trouble, told with the file and what to do, wherever it hits.

Each runs in a mount namespace of its own, with a small file system in the place of a directory.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import Home, Said
from own_mounts import in_namespace, mounts_as_root

from harness.history.database import Database
from harness.history.store import NightStore
from harness.nightly.night import Night, NightState

pytestmark = [pytest.mark.guest, mounts_as_root]

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg")


def run_with_little_room(home: Home, directory: str, size: str, *words: str) -> Said:
    """A harness in whose home ``directory`` has ``size`` of room."""
    place = home.directory / directory
    place.mkdir(parents=True, exist_ok=True)
    return in_namespace(home, f'mount -t tmpfs -o size={size} none "{place}"', *words)


def told(said: Said) -> str:
    assert "Traceback" not in said.stderr
    assert "bug in the harness" not in said.stderr
    assert said.code == 3, said
    return said.stdout + said.error


SIZES = [
    pytest.param(size, marks=[] if size in ("16k", "512k") else pytest.mark.long)
    for size in ("4k", "16k", "64k", "128k", "256k", "512k", "768k")
]


@pytest.mark.parametrize("size", SIZES)
def test_cache(empty_home: Home, size: str) -> None:
    """The built-in kernel takes more than each of these, with sources and objects."""
    text = told(run_with_little_room(empty_home, "cache", size, *BOOT))
    assert "cannot write " + str(empty_home.cache) in text or "the disk may be full" in text
    assert empty_home.run(*BOOT).code == 0


@pytest.mark.parametrize("size", ["4k", "8k"])
def test_records(home: Home, size: str) -> None:
    noise = ("--tunable", "harness.plant=noise")
    text = told(run_with_little_room(home, "state", size, *BOOT, *noise))
    assert "No space left on device" in text
    assert str(home.runs) in text
    assert home.run(*BOOT).code == 0


def test_sockets(home: Home) -> None:
    text = told(run_with_little_room(home, "run", "4k,nr_inodes=2", *BOOT))
    assert "No space left on device" in text


def test_settings_are_read_only(home: Home) -> None:
    """Nobody writes there, so that it does not matter."""
    assert run_with_little_room(home, "config", "4k,ro", *BOOT).code == 0


def test_junit_file_on_a_full_disk_does_not_swallow_the_result(home: Home) -> None:
    words = ("--junit", "small/junit.xml")
    text = told(run_with_little_room(home, "small", "4k,nr_inodes=1", *BOOT, *words))
    assert "built-in guest" in text
    assert "small/junit.xml: No space left on device" in text


@mounts_as_root
def test_a_history_on_a_full_disk_stays_readable(home: Home, tmp_path: Path) -> None:
    made, place, plan = tmp_path / "made.sqlite", tmp_path / "disk", tmp_path / "nightly.toml"
    place.mkdir()
    plan.write_text(
        'name = "made"\n[[tree]]\nname = "tree"\nsource = "embedded"\n[[boot]]\nnuma = "1"\n'
    )
    database = Database.open(made)
    store = NightStore(database, "made")
    night = store.begin(
        Night("made", 0, NightState.RUNNING, datetime(2026, 1, 2, tzinfo=UTC)), [], 86400.0
    )
    store.finish(replace(night, state=NightState.ENDED, exit_code=0), (), (), ())
    full = (
        f'mount -t tmpfs -o size=400k none "{place}"; cp "{made}" "{place}"; '
        f'dd if=/dev/zero of="{place}/rest" bs=1k 2>/dev/null || true'
    )
    history = ("--history", str(place / made.name))
    shown = in_namespace(home, full, "nightly", "show", str(plan), *history)
    assert (shown.code, "night 1 of made" in shown.stdout) == (0, True), shown
    refused = in_namespace(home, full, "nightly", "run", str(plan), *history)
    assert (refused.code, "the disk is full" in refused.stderr) == (3, True), refused
