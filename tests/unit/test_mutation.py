"""Mutants before oracles, and what counts as all right."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cells import IDENTITY, cell, run
from rich.console import Console

from harness.errors import InfraError
from harness.kernel.artifact import KernelArtifact
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.mutation.oracle import Caught, Oracle, Survived, judged, judgement
from harness.results.record import Run, to_document
from harness.results.text import print_document
from harness.subsystems.table import find_mutant

KERNEL = KernelArtifact(IDENTITY, Path("kernel"), Path("kernel.debug"), None)
MUTANT = find_mutant("uma_prealloc.round-down")
EQUIVALENT = find_mutant("keg_first_slab.skip-a-domain")


@dataclass
class FakeOracle:
    """Says what it was told to say, and remembers whom it was asked about."""

    name: str
    answer: Caught | Survived | InfraError
    asked: list[KernelArtifact] = field(default_factory=list)

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        self.asked.append(kernel)
        if isinstance(self.answer, InfraError):
            raise self.answer
        return self.answer


def before(*oracles: Oracle) -> Judgement:
    return judged(MUTANT, KERNEL, oracles)


def test_the_first_oracle_that_catches_it_is_the_last_to_be_asked() -> None:
    first = FakeOracle("boot", Survived(10))
    second = FakeOracle("counters", Caught(5, "KMAP_ENTRY pages: 2, not 1"))
    third = FakeOracle("check", Caught(1, "never asked"))
    found = before(first, second, third)
    assert (found.fate, found.oracle) == (MutantOutcome.CAUGHT, "counters")
    assert found.why == "KMAP_ENTRY pages: 2, not 1"
    assert (first.asked, second.asked, third.asked) == ([KERNEL], [KERNEL], [])


def test_how_long_it_took_counts_all_oracles_that_looked() -> None:
    oracles = FakeOracle("boot", Survived(10.25)), FakeOracle("counters", Caught(5.5, ""))
    assert before(*oracles).seconds == pytest.approx(15.8)


def test_what_no_oracle_catches_survives() -> None:
    found = before(FakeOracle("boot", Survived(10)), FakeOracle("counters", Survived(0)))
    assert (found.fate, found.oracle, found.seconds) == (MutantOutcome.SURVIVED, "", 10)


def test_the_hosts_failure_says_nothing_of_the_mutant() -> None:
    with pytest.raises(InfraError):
        before(FakeOracle("boot", InfraError("QEMU died")), FakeOracle("check", Survived(1)))


@pytest.mark.parametrize(
    ("found", "right"),
    [
        (judgement(MUTANT, MutantOutcome.CAUGHT), True),
        (judgement(MUTANT, MutantOutcome.SURVIVED), False),
        (judgement(EQUIVALENT, MutantOutcome.SURVIVED), True),
        (judgement(EQUIVALENT, MutantOutcome.CAUGHT), False),
        (judgement(MUTANT, MutantOutcome.ABSENT), True),
        (judgement(MUTANT, MutantOutcome.UNBUILT), False),
        (judgement(MUTANT, MutantOutcome.HOST_FAILED), False),
    ],
)
def test_a_mutant_is_caught_or_survives_with_a_reason(found: Judgement, right: bool) -> None:
    assert found.as_it_should_be is right


def judging(*judgements: Judgement) -> Run:
    return replace(run(cell()), judgements=judgements)


@pytest.mark.parametrize(
    ("fates", "code"),
    [
        ([MutantOutcome.CAUGHT, MutantOutcome.ABSENT], 0),
        ([MutantOutcome.CAUGHT, MutantOutcome.SURVIVED], 1),
        ([MutantOutcome.SURVIVED, MutantOutcome.UNBUILT], 4),
        ([MutantOutcome.SURVIVED, MutantOutcome.UNBUILT, MutantOutcome.HOST_FAILED], 3),
    ],
)
def test_exit_code_is_that_of_who_is_to_blame_first(fates: list[MutantOutcome], code: int) -> None:
    assert judging(*(judgement(MUTANT, fate) for fate in fates)).exit_code == code


def told(*judgements: Judgement) -> str:
    page = io.StringIO()
    document = to_document(judging(*judgements))
    print_document(document, Console(file=page, width=200, highlight=False))
    return page.getvalue()


def test_the_table_says_by_what_after_how_long_and_why() -> None:
    row = told(
        judgement(MUTANT, MutantOutcome.CAUGHT, "2 nodes: panic: x", "boot", 7.25)
    ).splitlines()[1]
    words = ["uma_prealloc.round-down", "killed", "boot", "7.2", "2 nodes: panic: x"]
    assert [row.index(word) for word in words] == sorted(row.index(word) for word in words)


def test_a_survivors_reason_is_told_or_that_it_has_none() -> None:
    assert "equivalent: keg_fetch_free_slab() is the only" in told(
        judgement(EQUIVALENT, MutantOutcome.SURVIVED)
    )
    assert "no oracle killed it" in told(judgement(MUTANT, MutantOutcome.SURVIVED))


def test_an_equivalent_mutant_that_is_caught_is_told_so() -> None:
    assert "recorded as equivalent" in told(judgement(EQUIVALENT, MutantOutcome.CAUGHT, "panic"))


def test_the_sum_counts_fates_and_oracles() -> None:
    caught = [
        judgement(MUTANT, MutantOutcome.CAUGHT, "", name, 1)
        for name in ("boot", "boot", "counters")
    ]
    last = told(*caught, judgement(MUTANT, MutantOutcome.SURVIVED)).splitlines()[-1]
    assert last == "4 mutants: 3 killed, 1 survived, 2 by boot, 1 by counters"


def test_what_a_guest_said_reaches_no_terminal_as_it_is() -> None:
    assert "\x1b" not in told(judgement(MUTANT, MutantOutcome.CAUGHT, "panic: \x1b[2J", "boot", 1))
