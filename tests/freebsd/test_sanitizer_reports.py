"""A data race and an overflow, planted into real kernels, are reported, and the kernels go on.

What is planted is written when the test runs: nothing of the tree is kept here.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(7200)]

FILE = "sys/kern/subr_smp.c"

#: All CPUs write one variable at the same time, and a shift is as wide as no int.
PLANT = """
static volatile int harness_word, harness_width = 40;

static void
harness_race(void *arg __unused)
{
	for (int i = 0; i < 1000000; i++)
		harness_word++;
}

static void
harness_plant(void *arg __unused)
{
	smp_rendezvous(NULL, harness_race, NULL, NULL);
	harness_word = 1 << harness_width;
}
SYSINIT(harness_plant, SI_SUB_SMP, SI_ORDER_ANY, harness_plant, NULL);
"""

OVERFLOW = (
    f"UBSan: Undefined Behavior in {FILE}, shift exponent N is too large for N-bit type 'int'"
)


@pytest.fixture(params=["tree", "newer tree"])
def tree(request: pytest.FixtureRequest) -> Path:
    name = "freebsd_tree" if request.param == "tree" else "newer_tree"
    found: Path = request.getfixturevalue(name)
    return found


def planted(tree: Path, directory: Path) -> Path:
    text = (tree / FILE).read_text("utf-8", "replace")
    before, after = (version.splitlines(keepends=True) for version in (text, text + PLANT))
    patch = directory / "planted.patch"
    patch.write_text("".join(difflib.unified_diff(before, after, f"a/{FILE}", f"b/{FILE}")))
    return patch


def booted(tree: Path, out: Path, *words: str | Path) -> tuple[Answer, dict[str, Any]]:
    answer = harness("boot", "--source", tree, "--numa", "2", *words, out=out)
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == "booted", answer.told
    return answer, cell


def test_a_planted_race_is_reported(tree: Path, tmp_path: Path) -> None:
    answer, cell = booted(tree, tmp_path, "--kcsan", "--patch", planted(tree, tmp_path))
    assert answer.code == 0
    assert cell["verification"]["sanitizers"] == ["KCSAN"]
    races = [title for title in cell["verdict"]["reports"] if "harness_race" in title]
    assert races, cell["verdict"]["reports"]
    assert all(title.startswith("CSan: Racy Access, ") for title in races)


@pytest.mark.parametrize("sanitizers", ["kubsan", "kasan,kubsan"])
def test_a_planted_overflow_is_reported_and_fails_where_that_is_asked_for(
    tree: Path, tmp_path: Path, sanitizers: str
) -> None:
    words = ("--sanitizer", sanitizers, "--patch", planted(tree, tmp_path), "--fail-on-report")
    answer, cell = booted(tree, tmp_path, *words)
    assert answer.code == 1
    assert cell["verification"]["sanitizers"] == sanitizers.upper().split(",")
    assert OVERFLOW in cell["failing"]


def test_a_report_that_the_tree_lacks_without_a_patch_fails_the_comparison(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = harness(
        "compare", "--source", freebsd_tree, "--numa", "2", "--kubsan",
        "--patch", planted(freebsd_tree, tmp_path), "--expect", "before=booted,after=booted",
        out=tmp_path,
    )  # fmt: skip
    assert answer.outcomes() == {
        "before-kubsan-numa2": "booted", "after-kubsan-numa2": "booted"
    }, answer.told  # fmt: skip
    assert OVERFLOW in answer.cells()["after-kubsan-numa2"]["failing"]
    assert answer.cells()["before-kubsan-numa2"]["as_expected"]
    assert answer.code == 1
