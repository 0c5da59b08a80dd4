"""Five boots each of a newer release's sanitized kernels; the tree is ``$HARNESS_NEWER_SOURCE``."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness_command import harness

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(3600)]


def test_kasan_boots_five_times_of_five(newer_tree: Path, tmp_path: Path) -> None:
    answer = harness(
        "boot", "--source", newer_tree, "--numa", "2", "--kasan", "--repeat", "5", out=tmp_path
    )
    assert list(answer.outcomes().values()) == ["booted"] * 5, answer.told
    assert all(cell["disagreements"] == [] for cell in answer.cells().values())
    assert answer.code == 0


def test_kmsan_boots_or_reports_what_the_tree_itself_does_wrong(
    newer_tree: Path, tmp_path: Path
) -> None:
    answer = harness(
        "boot", "--source", newer_tree, "--numa", "2", "--kmsan", "--repeat", "5", out=tmp_path
    )
    for cell in answer.cells().values():
        verdict = cell["verdict"]
        assert verdict["outcome"] in ("booted", "kmsan"), answer.told
        if verdict["outcome"] == "kmsan":
            assert "0x" not in verdict["title"], "the address in the title is a function's name"
            assert all(frame["file"] for frame in verdict["symbolized"])
            assert cell["origin"].startswith("a failure of the tree itself")
    assert answer.code in (0, 1)


def test_without_the_commit_a_boot_may_die_late_of_what_13_dies_of_early(
    newer_tree: Path, tmp_path: Path
) -> None:
    """Whatever first needs an entry on a CPU of another domain finds no reserve there."""
    answer = harness(
        "compare", "--source", newer_tree, "--mutant", "drop-commit", "--numa", "2", "--kasan",
        out=tmp_path,
    )  # fmt: skip
    assert answer.outcomes()["after-kasan-numa2"] == "booted", answer.told
    before = answer.cells()["before-kasan-numa2"]["verdict"]
    assert before["outcome"] in ("booted", "panic", "hang")
    if before["outcome"] == "panic":
        assert before["title"] == "vm_map_entry_create: kernel resources exhausted"
        assert "kmem_init" not in [frame["function"] for frame in before["symbolized"]]
    assert answer.code == 0, "both are expected of this release"
