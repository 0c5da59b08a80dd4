"""Real arenas held to the model; guests, and the newer tree, are the long tier's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

from harness.subsystems.vmem.codeforms import VMEM, read_form
from harness.subsystems.vmem.mutants import VMEM_MUTANTS

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]


def check(tree: Path, out: Path, *words: str) -> Answer:
    return harness("check", "--source", tree, "--subsystem", "vmem", *words, out=out)


def result(answer: Answer) -> dict[str, Any]:
    (cell,) = answer.document["cells"]
    assert cell["check"], answer.told
    return dict(cell["check"])


def test_the_tree_has_the_known_form(freebsd_tree: Path) -> None:
    assert read_form((freebsd_tree / VMEM).read_bytes()).unknown == ()


@pytest.mark.long
def test_the_newer_tree_has_the_known_form(newer_tree: Path) -> None:
    assert read_form((newer_tree / VMEM).read_bytes()).unknown == ()


def test_arenas_of_a_host_program_do_what_the_model_says(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = check(freebsd_tree, tmp_path, "--on", "host", "--ops", "6000")
    assert (answer.code, result(answer)["conclusion"]) == (0, "agreed"), answer.told


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant.name, marks=() if number == 0 else pytest.mark.long)
        for number, mutant in enumerate(VMEM_MUTANTS)
    ],
)
def test_a_wrong_arena_is_caught_and_shrunk(
    mutant: str, freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = check(freebsd_tree, tmp_path, "--on", "host", "--ops", "6000", "--mutant", mutant)
    found = result(answer)
    assert (answer.code, found["conclusion"]) == (1, "differs"), answer.told
    assert found["difference"]["length"] <= 20


@pytest.mark.parametrize(
    ("case", "conclusion"),
    [
        ("nextfit-unrounded", "found"),
        pytest.param("nextfit-forever", "gone", marks=pytest.mark.long),
        pytest.param("nextfit-misfiled", "agreed", marks=pytest.mark.long),
        pytest.param("nextfit-release", "found", marks=pytest.mark.long),
        pytest.param("import-twice", "found", marks=pytest.mark.long),
    ],
)
def test_a_host_program_does_not_survive_the_named_cases_either(
    case: str, conclusion: str, freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = check(freebsd_tree, tmp_path, "--on", "host", "--case", case)
    assert result(answer)["conclusion"] == conclusion, answer.told


@pytest.mark.long
@pytest.mark.parametrize("release", ["configured", "newer"])
def test_10_000_operations_in_a_guest_show_no_difference(
    release: str, freebsd_tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tree = freebsd_tree if release == "configured" else request.getfixturevalue("newer_tree")
    answer = check(tree, tmp_path, "--on", "guest", "--numa", "2", "--kasan", "--ops", "10000")
    found = result(answer)
    assert found["conclusion"] == "agreed", answer.told
    assert found["operations"] >= 10_000
