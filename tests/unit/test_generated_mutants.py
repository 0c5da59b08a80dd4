"""Generated mutants: every small change of a function, once, and nothing outside of it."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.cedit.csource import Cause, read_function, tokens
from harness.cedit.mutations import MutationKind, mutations
from harness.errors import UsageError
from harness.mutation.generated import generated_mutant, generated_mutants, parse_name
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.mutation.mutant import MutantRefused
from harness.results.record import Run
from harness.subsystems.table import find_mutant

TEXT = b"""\
static int
other(int a)
{
	return (a + 1);
}

/* Takes one: if (a == b) a++; */
static item_t
take(shelf_t shelf, int place, int flags)
{
	int kept = 0;

	KASSERT(place >= 0, ("place %d < 0", place));
	while (shelf->count[place] <= kept && (flags & M_WAITOK) != 0) {
		CTR1(KTR_SHELF, "at %d", place);
		shelf->left--;
	}
	if (shelf->broken)
		goto out;
	kept += 2;
out:
	return (pick(shelf, place));
}
"""
EXCHANGES = {b"M_WAITOK": (b"M_NOWAIT",), b"left": (b"right", b"middle")}


def changed(ordinal: int) -> list[bytes]:
    return tokens(generated_mutant("a.c", "take", ordinal, EXCHANGES).apply(TEXT))


def test_each_kind_of_change_is_found_and_assertions_are_left_out() -> None:
    found = mutations(read_function(TEXT, "take"), EXCHANGES)
    # <= becomes < and >; && || and & |; != ==; -- ++; += -=. 0 (twice).
    assert Counter(each.kind for each in found) == {
        MutationKind.OPERATOR: 7, MutationKind.CONSTANT: 2, MutationKind.WORD: 3,
        MutationKind.CONDITION: 2, MutationKind.STATEMENT: 3, MutationKind.RETURN: 1,
    }  # fmt: skip
    assert not any(b"place >= 0" in each.before or b"CTR1" in each.before for each in found
                   if each.kind is not MutationKind.CONDITION)  # fmt: skip


def test_every_change_differs_from_the_text_and_from_the_others() -> None:
    names = [each.name for each in generated_mutants("a.c", TEXT, "take", EXCHANGES)]
    assert names == [f"take#{number}" for number in range(1, 19)]
    texts = [b" ".join(changed(number)) for number in range(1, 19)]
    assert len({*texts, b" ".join(tokens(TEXT))}) == 19
    start = TEXT.index(b"take(shelf_t")
    for number in range(1, 19):
        assert (
            generated_mutant("a.c", "take", number, EXCHANGES).apply(TEXT)[:start] == TEXT[:start]
        )


def test_a_description_tells_what_is_changed() -> None:
    said = [each.description for each in generated_mutants("a.c", TEXT, "take", EXCHANGES)]
    assert "word: M_NOWAIT in the place of M_WAITOK" in said
    assert "without the statement shelf->left--;" in said
    assert "return: (0) in the place of (pick(shelf, place))" in said


def test_a_label_that_loses_its_goto_goes_with_it() -> None:
    (number,) = [
        number
        for number, each in enumerate(generated_mutants("a.c", TEXT, "take", EXCHANGES), start=1)
        if "goto out" in each.description
    ]
    assert b"out" not in changed(number)


def test_an_ordinal_beyond_the_last_is_refused() -> None:
    with pytest.raises(MutantRefused, match="the function has 18 mutations") as refused:
        changed(19)
    assert refused.value.cause is Cause.STATEMENT_ABSENT


def test_a_function_that_is_missing_has_none() -> None:
    assert not list(generated_mutants("a.c", TEXT, "gone", EXCHANGES))


def test_a_name_finds_its_mutant_in_any_command() -> None:
    assert parse_name("take#12") == ("take", 12)
    assert parse_name("drop-commit") is None
    found = find_mutant("keg_fetch_slab#3")
    assert (str(found.path), found.function) == ("sys/vm/uma_core.c", "keg_fetch_slab")
    with pytest.raises(UsageError, match=r"no mutants of take\(\) are generated"):
        find_mutant("take#1")


@pytest.mark.parametrize(
    ("mutant", "fate", "code"),
    [
        ("take#1", MutantOutcome.SURVIVED, 0),
        ("take#1", MutantOutcome.ENDED, 0),
        ("take#1", MutantOutcome.UNBUILT, 0),
        ("take#1", MutantOutcome.HOST_FAILED, 3),
        ("drop-commit", MutantOutcome.SURVIVED, 1),
        ("drop-commit", MutantOutcome.ENDED, 3),
        ("drop-commit", MutantOutcome.UNBUILT, 4),
        ("drop-commit", MutantOutcome.CAUGHT, 0),
    ],
)
def test_of_a_generated_mutant_nothing_is_expected(
    mutant: str, fate: MutantOutcome, code: int
) -> None:
    run = Run("r", (), "", "", (), judgements=(Judgement(mutant, fate),))
    assert run.exit_code == code
