"""Sanitizers of host programs: planted faults are reported with their line, unchanged code not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bucket_cache import MISSING_LOCK, PUT
from changed_code import Edit
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]

#: Reads behind the last domain of a zone, and behind an item.
BEHIND_DOMAINS = Edit("zone_domain_lowest", r"i < vm_ndomains", "i <= vm_ndomains")
BEHIND_ITEM = Edit(
    "item_dtor", r"\n\{",
    "\n{\n\tif (zone->uz_size >= 64 && ((volatile char *)item)[zone->uz_size + 8] == 17)\n"
    "\t\treturn;\n",
)  # fmt: skip
BEYOND = {"behind domains": BEHIND_DOMAINS, "behind an item": BEHIND_ITEM}

USED = """\
zones domains=2 cpus=0,1
zone1 size=500 round-robin
alloc zone1 item=1 cpu=0 M_NOWAIT
"""


def checked(
    tree: Path, out: Path, edit: Edit | None, trace: str | None, *words: str
) -> tuple[Answer, dict[str, Any]]:
    given: list[str | Path] = []
    if edit is not None:
        patch = out / "change.diff"
        patch.write_text(edit.patch(tree), "utf-8", "surrogateescape")
        given += ["--patch", patch]
    if trace is not None:
        file = out / "given.trace"
        file.write_text(trace)
        given += ["--replay", file]
    answer = harness(
        "check", "--source", tree, "--on", "host", "--numa", "2", *words, *given, out=out
    )
    (cell,) = answer.document["cells"]
    assert cell["check"], cell["error"]
    return answer, dict(cell["check"])


def line_of(tree: Path, path: str, number: int) -> str:
    return (tree / path).read_text("utf-8", "replace").splitlines()[number - 1]


def test_a_read_behind_the_end_is_reported_with_its_line(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer, check = checked(freebsd_tree, tmp_path, BEHIND_DOMAINS, USED, "--kasan", "--kubsan")
    assert answer.code == 1, answer.told
    assert check["host"]["kind"] == "kasan", answer.told
    assert check["host"]["sanitizers"] == ["kasan", "kubsan"]
    place = re.search(r"zone_domain_lowest, (sys/vm/uma_core\.c):(\d+)", check["host"]["text"])
    assert place is not None, answer.told
    assert "uzd_nitems" in line_of(freebsd_tree, place[1], int(place[2]))


@pytest.mark.long
@pytest.mark.parametrize("kind", BEYOND)
@pytest.mark.parametrize("newer", [False, True], ids=["pinned", "newer"])
def test_a_search_with_kasan_reports_a_read_behind_the_end(
    freebsd_tree: Path, newer_tree: Path, tmp_path: Path, kind: str, newer: bool
) -> None:
    tree = newer_tree if newer else freebsd_tree
    answer, check = checked(
        tree, tmp_path, BEYOND[kind], None, "--kasan", "--subsystem", "zones", "--ops", "2000"
    )
    assert answer.code == 1, answer.told
    assert check["host"]["kind"] == "kasan", answer.told


@pytest.mark.long
@pytest.mark.parametrize("newer", [False, True], ids=["pinned", "newer"])
def test_a_missing_lock_is_a_race_in_any_schedule_and_none_without_the_change(
    freebsd_tree: Path, newer_tree: Path, tmp_path: Path, newer: bool
) -> None:
    tree = newer_tree if newer else freebsd_tree
    answer, check = checked(tree, tmp_path, MISSING_LOCK, PUT, "--kcsan")
    assert answer.code == 1, answer.told
    assert check["host"]["kind"] == "kcsan"
    assert "zone_put_bucket, sys/vm/uma_core.c:" in check["host"]["text"]
    assert check["interleavings"]["schedules"] < 20
    untouched, check = checked(tree, tmp_path, None, PUT, "--kcsan")
    assert untouched.code == 0, untouched.told
    assert check["interleavings"]["schedules"] == 200


@pytest.mark.long
@pytest.mark.parametrize("newer", [False, True], ids=["pinned", "newer"])
def test_unchanged_trees_have_no_report(
    freebsd_tree: Path, newer_tree: Path, tmp_path: Path, newer: bool
) -> None:
    tree = newer_tree if newer else freebsd_tree
    words = ("--on", "host", "--numa", "2", "--kasan", "--kubsan", "--ops", "10000")
    answer = harness("check", "--source", tree, *words, out=tmp_path)
    assert answer.code == 0, answer.told
