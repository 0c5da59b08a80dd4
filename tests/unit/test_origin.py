"""Whose a failure is: the change's, the tree's own, or nobody can tell."""

from __future__ import annotations

from dataclasses import replace

from harness.console.stages import Stage
from harness.kernel.artifact import KernelIdentity
from harness.outcome import Outcome
from harness.results.record import Cell, origin_of
from harness.sanitizers import KMSAN, Sanitizers
from harness.verdict import Verdict

KERNEL = KernelIdentity(
    key="k", source="tree", label="r", commit="c", tree="t", dirty=False, patch=None,
    mutant=None, release="15.1-RELEASE", kernconf="HARNESS-KMSAN",
    sanitizer=Sanitizers({KMSAN}), compiler="clang",
)  # fmt: skip


def failed(side: str, title: str, outcome: Outcome = Outcome.KMSAN) -> Cell:
    verdict = Verdict(outcome, title, Stage.DEVICES, kernel_entered=True)
    return Cell(
        name=f"{side}-kmsan", side=side, guest="FreeBSD", nodes=2, sanitizer="kmsan",
        backend="qemu", accelerator="tcg", kernel=KERNEL, verdict=verdict,
    )  # fmt: skip


def test_a_report_of_both_sides_is_not_the_changes_doing() -> None:
    before, after = failed("before", "MSan: in statclock"), failed("after", "MSan: in statclock")
    assert origin_of(before, [before, after]) == "on both sides, so not caused by the change"


def test_a_report_of_one_side_alone_may_be_the_changes_doing() -> None:
    before, after = failed("before", "MSan: in keg_fetch_slab"), failed("after", "MSan: elsewhere")
    assert origin_of(before, [before, after]) == ""


def test_a_kernel_without_a_change_on_top_shows_the_trees_own_bugs() -> None:
    cell = failed("", "MSan: in statclock")
    assert origin_of(cell, [cell]).startswith("a failure of the tree itself")


def test_of_a_changed_kernel_alone_nobody_can_tell() -> None:
    cell = failed("", "MSan: in statclock")
    for change in ({"mutant": "drop-commit"}, {"patch": "0123"}, {"dirty": True}):
        changed = replace(cell, kernel=replace(KERNEL, **change))
        assert origin_of(changed, [changed]) == ""


def test_what_booted_has_no_failure_to_explain() -> None:
    cell = failed("after", "booted to init", Outcome.BOOTED)
    assert origin_of(cell, [cell]) == ""
