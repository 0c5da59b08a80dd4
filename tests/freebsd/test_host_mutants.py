"""Mutants that host programs judge: named and generated ones, on the tree's own C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]


def mutants(tree: Path, out: Path, *words: str) -> Answer:
    return harness("mutants", "--source", tree, "--ops", "4000", *words, out=out)


def fates(answer: Answer) -> dict[str, Any]:
    return {each["mutant"]: each for each in answer.document["mutants"]}


def test_named_mutants_are_killed_without_a_kernel(freebsd_tree: Path, tmp_path: Path) -> None:
    answer = mutants(freebsd_tree, tmp_path, "--on", "host", "--mutant", "drop-*")
    found = fates(answer)
    assert answer.code == 0, answer.told
    assert {"drop-commit", "drop-reserve-fallback"} <= found.keys()
    assert {each["fate"] for each in found.values()} == {"caught"}
    assert answer.document["cells"] == []
    assert not list(tmp_path.glob("**/console.log"))


def test_generated_mutants_of_a_function_are_killed_and_checked_again_by_name(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = mutants(freebsd_tree, tmp_path, "--generated", "--function", "keg_fetch_free_slab")
    found = fates(answer)
    assert answer.code == 0, answer.told
    assert len(found) > 15
    killed = [name for name, each in found.items() if each["fate"] == "caught"]
    assert len(killed) >= 0.9 * len(found)
    again = harness(
        "check", "--source", freebsd_tree, "--on", "host", "--ops", "4000", "--subsystem", "uma",
        "--mutant", killed[0], out=tmp_path,
    )  # fmt: skip
    assert again.code == 1, again.told
    assert again.document["cells"][0]["check"]["changed"] == ["keg_fetch_free_slab"]
