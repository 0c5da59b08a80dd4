"""Records: what counts as expected, whose fault it is, and what JSON keeps of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from cells import FRAMES, cell, run
from hypothesis import given
from hypothesis import strategies as st

from harness.console.stages import Stage
from harness.outcome import Outcome
from harness.results.record import Cell, backtrace_lines, to_document, with_new_reports
from harness.verdict import Verdict
from harness.verification import Banner, Verification

OUTCOMES = st.sampled_from(list(Outcome))
HOST = cell(None, error="QEMU died")
FIRMWARE = cell(None, verdict=Verdict(Outcome.FIRMWARE, "no volume", Stage.FIRMWARE, False))


def test_without_an_expectation_a_boot_is_expected() -> None:
    assert cell(Outcome.BOOTED).as_expected
    assert not cell(Outcome.PANIC).as_expected


def test_any_of_the_expected_outcomes_will_do() -> None:
    expected = (Outcome.PANIC, Outcome.KASAN)
    assert cell(Outcome.PANIC, expected=expected).as_expected
    assert not cell(Outcome.BOOTED, expected=expected).as_expected


def reporting(side: str, *titles: str, outcome: Outcome = Outcome.BOOTED) -> Cell:
    return cell(outcome, side=side, words={"reports": titles})


def failing(*cells: Cell) -> list[tuple[str, ...]]:
    return [one.failing for one in with_new_reports(cells)]


def test_report_that_fails_a_cell_is_not_as_expected() -> None:
    assert reporting("", "race").as_expected
    assert not replace(reporting("", "race"), failing=("race",)).as_expected
    assert run(replace(reporting("", "race"), failing=("race",))).exit_code == 1


def test_report_fails_the_side_after_if_no_cell_before_has_it() -> None:
    assert failing(reporting("before", "a"), reporting("after", "a", "b")) == [(), ("b",)]
    assert failing(reporting("after", "b"), reporting("before", "a", "b")) == [(), ()]
    several = (reporting("before", "a"), reporting("before", "b"), reporting("after", "a", "b"))
    assert failing(*several) == [(), (), ()], "a race does not show in every boot"


def test_report_is_not_new_where_nothing_before_got_as_far_or_there_is_no_before() -> None:
    panicked = reporting("before", outcome=Outcome.PANIC)
    assert failing(panicked, reporting("after", "a")) == [(), ()]
    assert failing(reporting("", "a"), reporting("after", "a")) == [(), ()]


def test_reports_are_held_to_those_of_the_same_sanitizers_and_topology() -> None:
    other = replace(reporting("before", "a"), sanitizer="kcsan")
    assert failing(other, reporting("before"), reporting("after", "a")) == [(), (), ("a",)]
    larger = replace(reporting("before", "a"), topology={"nodes": 4})
    assert failing(larger, reporting("before"), reporting("after", "a")) == [(), (), ("a",)]


def test_report_that_fails_a_cell_for_two_reasons_is_told_once() -> None:
    asked = replace(reporting("after", "a"), failing=("a",))
    assert failing(reporting("before"), asked) == [(), ("a",)]


@pytest.mark.parametrize("one", [HOST, FIRMWARE], ids=["no verdict", "before the kernel"])
def test_trouble_of_the_host_is_never_as_expected(one: Cell) -> None:
    assert one.host_failed
    assert not one.as_expected


def test_kernel_that_sees_another_machine_is_never_as_expected() -> None:
    """Whatever was expected, and whatever it came to."""
    for outcome in Outcome:
        one = cell(outcome, expected=(outcome,), disagreements=("it sees 1 memory domains, not 2",))
        assert not one.as_expected
    assert run(cell(Outcome.DIFFERS, disagreements=("…",))).exit_code == 1


def test_boot_without_proof_is_the_hosts_failure() -> None:
    one = cell(Outcome.UNVERIFIED, expected=(Outcome.UNVERIFIED, Outcome.BOOTED))
    assert one.host_failed
    assert run(one, cell()).exit_code == 3


def test_json_says_what_proves_the_boot() -> None:
    verification = Verification(
        "0123456789abcdef", "ab12", "FreeBSD 14", ("KASAN",), Banner.EXPECTED, True, ()
    )
    proven = to_document(run(cell(verification=verification, console=("last line",))))["cells"][0]
    assert proven["verified"]
    assert proven["verification"]["build_id"] == "ab12"
    assert proven["verification"]["banner"] == "expected"
    assert proven["console"] == ("last line",)
    doubted = cell(verification=replace(verification, doubts=("no nonce",)))
    assert not to_document(run(doubted, cell()))["cells"][0]["verified"]
    assert not cell().verified


def test_firmware_that_dies_under_a_running_kernel_is_the_kernels_doing() -> None:
    verdict = Verdict(Outcome.FIRMWARE, "back in the firmware", Stage.KERNEL, kernel_entered=True)
    assert not cell(None, verdict=verdict).host_failed


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ((cell(),), 0),
        ((cell(), cell(Outcome.PANIC)), 1),
        ((cell(Outcome.PANIC, expected=(Outcome.PANIC,)), cell()), 0),
        ((cell(Outcome.PANIC), HOST), 3),
        ((cell(), FIRMWARE), 3),
    ],
)  # fmt: skip
def test_exit_code_tells_the_worst(cells: tuple[Cell, ...], code: int) -> None:
    assert run(*cells).exit_code == code


@given(st.lists(st.tuples(st.none() | OUTCOMES, st.lists(OUTCOMES, max_size=2)), min_size=1))
def test_json_says_what_the_record_says(drawn: list[tuple[Outcome | None, list[Outcome]]]) -> None:
    told = run(*(cell(outcome, expected=tuple(expected)) for outcome, expected in drawn))
    document = json.loads(json.dumps(to_document(told)))
    assert document["exit_code"] == told.exit_code
    for kept, one in zip(document["cells"], told.cells, strict=True):
        assert kept["as_expected"] is one.as_expected
        assert kept["host_failed"] is one.host_failed
        assert kept["expected"] == [str(outcome) for outcome in one.expected]
        assert (kept["verdict"] or {}).get("outcome") == (
            one.verdict.outcome.value if one.verdict else None
        )


def test_backtrace_names_inlined_callers_and_doubts() -> None:
    assert backtrace_lines([asdict(frame) for frame in FRAMES]) == [
        "#0  panic at sys/kern/kern_shutdown.c:843",
        "#1  vm_map_init (inlined) at sys/vm/vm_map.c:3",
        "#1  kmem_init at sys/vm/vm_kern.c:7",
        "#2  init at sys/dev/a.c:5 (or another function of that name)",
        "#3  btext at ?",
    ]
