"""Mutants of the configured tree, built, booted and judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness_command import harness

from harness.subsystems.table import mutants

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(7200)]


def test_each_is_caught_by_the_oracle_that_it_is_for(freebsd_tree: Path, tmp_path: Path) -> None:
    fates = {
        "uma_prealloc.one-too-few": ("caught", "boot"),
        "keg_first_slab.lose-free-slab-count": ("caught", "counters"),
        "keg_first_slab.skip-a-domain": ("survived", ""),
    }
    chosen = [word for name in fates for word in ("--mutant", name)]
    answer = harness(
        "mutants", "--source", freebsd_tree, *chosen, "--numa", "2", "--kasan", "--baseline", "2",
        out=tmp_path,
    )  # fmt: skip
    judged = {each["mutant"]: each for each in answer.document["mutants"]}
    assert {name: (each["fate"], each["oracle"]) for name, each in judged.items()} == fates
    assert "kernel resources exhausted" in judged["uma_prealloc.one-too-few"]["why"]
    # Its counters, or what the kernel dies of when it is booted again to be sure of them.
    lost_count = judged["keg_first_slab.lose-free-slab-count"]["why"]
    assert "free slabs" in lost_count or "a second time" in lost_count
    assert judged["keg_first_slab.skip-a-domain"]["equivalent"]
    assert answer.code == 0, answer.told
    again = harness("report", out=tmp_path)
    assert again.document["mutants"] == answer.document["mutants"]
    assert again.code == 0


@pytest.mark.long
def test_every_mutant_of_the_tree_builds_and_nothing_equivalent_is_caught(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = harness("mutants", "--source", freebsd_tree, "--numa", "2", "--kasan", out=tmp_path)
    judged = {each["mutant"]: each for each in answer.document["mutants"]}
    assert judged.keys() == mutants().keys()
    fates = [each["fate"] for each in judged.values()]
    assert "does not build" not in fates, answer.told
    assert "host failed" not in fates, answer.told
    assert fates.count("caught") + fates.count("survived") >= 25
    assert not [name for name, each in judged.items() if each["equivalent"] and each["oracle"]]
