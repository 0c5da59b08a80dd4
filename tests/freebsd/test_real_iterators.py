"""Real iterators held to the model, step by step; the newer tree is the long tier's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

from harness.subsystems.domainset.codeforms import DOMAINSET, form_of, read_form
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iteratorforms import ITERATORS

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]


def check(tree: Path, out: Path, *words: str) -> Answer:
    return harness(
        "check", "--source", tree, "--subsystem", "domainset", "--on", "guest", *words, out=out
    )


def result(answer: Answer) -> dict[str, Any]:
    (cell,) = answer.document["cells"]
    assert cell["check"], answer.told
    return dict(cell["check"])


def test_the_tree_has_a_known_form(freebsd_tree: Path) -> None:
    reading = read_form((freebsd_tree / DOMAINSET).read_bytes())
    assert reading.unknown == ()
    assert reading.values is not None
    assert form_of(reading.values) in Form


def test_real_iterators_do_what_the_model_says(freebsd_tree: Path, tmp_path: Path) -> None:
    answer = check(freebsd_tree, tmp_path, "--numa", "2", "--kasan", "--ops", "600")
    assert result(answer)["conclusion"] == "agreed", answer.told
    assert answer.code == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "guest",
    [("--numa", "2"), ("--numa", "4"), ("--vm", "memoryless-kasan")],
    ids=["2", "4", "memoryless"],
)
@pytest.mark.parametrize("release", ["configured", "newer"])
def test_10_000_steps_show_no_difference_and_take_every_branch(
    release: str,
    guest: tuple[str, ...],
    freebsd_tree: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    tree = freebsd_tree if release == "configured" else request.getfixturevalue("newer_tree")
    answer = check(tree, tmp_path, *guest, "--kasan", "--ops", "10000")
    found = result(answer)
    assert found["conclusion"] == "agreed", answer.told
    assert found["operations"] >= 10_000
    total = len(ITERATORS[Form(found["model"])].BRANCHES)
    assert found["measured"] == {"branches": total, "branches_taken": total}


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant",
    [
        "vm_domainset_iter_policy.restart-short-only",
        "vm_domainset_iter_page.restart-short-only",
        "vm_domainset_iter_phase_first.visit-twice",
        "vm_domainset_iter_next.visit-twice",
    ],
)
def test_a_wrong_phased_iterator_is_caught_and_shrunk(
    mutant: str, newer_tree: Path, tmp_path: Path
) -> None:
    answer = check(
        newer_tree, tmp_path, "--numa", "2", "--kasan", "--ops", "1200", "--mutant", mutant
    )
    found = result(answer)
    assert answer.code == 1, answer.told
    if found["conclusion"] == "gone":  # the kernel's own assertion, in a visit of the boot's
        (cell,) = answer.document["cells"]
        assert cell["verdict"]["title"].startswith("vm_domainset_iter_ignore: domain N not present")
        return
    assert found["conclusion"] == "differs", answer.told
    assert found["difference"]["length"] <= 12
