"""Generated mutants: every small change of a function, once, and nothing outside of it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cedit.csource import Cause, Mismatch, read_function, tokens
from harness.cedit.masks import MASKS, read_masked
from harness.cedit.mutations import MutationKind, mutations
from harness.errors import UsageError
from harness.mutation.generated import (
    generated_mutant,
    generated_mutants,
    parse_name,
    sampled,
)
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.mutation.mutant import MutantRefused
from harness.onhost.part import owner_of
from harness.results.record import Run
from harness.subsystems.table import SUBSYSTEMS, find_mutant

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


@given(st.integers(0, 30), st.integers(1, 40), st.integers(0, 1 << 64))
def test_a_sample_is_drawn_by_its_seed_and_keeps_the_order(
    number: int, count: int, seed: int
) -> None:
    every = [generated_mutant("a.c", "take", each, {}) for each in range(1, number + 1)]
    drawn = sampled(every, count, seed)
    assert drawn == sampled(every, count, seed)
    assert len(drawn) == min(count, number)
    assert drawn == [each for each in every if each in drawn]


def test_other_seeds_draw_others() -> None:
    every = [generated_mutant("a.c", "take", each, {}) for each in range(1, 31)]
    drawn = {each.name for seed in range(40) for each in sampled(every, 5, seed)}
    assert drawn == {each.name for each in every}


def test_a_function_that_two_parts_follow_belongs_to_the_first() -> None:
    parts = [part for each in SUBSYSTEMS if (part := each.on_host) is not None]
    path, function = "sys/vm/uma_core.c", "zone_import"
    following = [part.name for part in parts if part.has_function(path, function)]
    owner = owner_of(parts, path, function)
    assert owner is not None
    assert following == ["uma", "zones"]
    assert owner.name == "uma"
    assert owner_of(parts, path, "vm_domainset_iter_rr") is None
    assert owner_of(parts, "sys/vm/vm_domainset.c", "vm_domainset_iter_rr") is not None


DIVIDED = b"""\
static void
drain(shelf_t shelf, int wanted)
{
	item_t item, next;

	LIST_FOREACH(item, &shelf->left, link)
		wanted--;
	if (wanted > 0)
		LIST_FOREACH_SAFE(item, &shelf->left, link, next) {
			discard(item);
		}
	else
		wanted = 1;
#ifdef INVARIANTS
	if (shelf->checked ||
	wanted == 0)
#endif
		discard(shelf);
#if LEVELS > 0
	if (shelf->reserved) {
		wanted >>= 9;
	} else
#endif
		wanted /= 2;
#ifdef ONE
	if (wanted == 1) {
#else
	if (wanted != 1) {
#endif
		discard(&wanted);
	}
}
"""


def test_a_function_with_macros_that_loop_and_divided_statements_is_changed_in_place() -> None:
    with pytest.raises(Mismatch):
        read_function(DIVIDED, "drain")
    found = mutations(read_masked(DIVIDED, "drain"), EXCHANGES)
    said = [each.description for each in found]
    assert "without the statement discard(item);" in said
    assert "word: right in the place of left" in said
    assert "operator: <<= in the place of >>=" in said
    assert "operator: *= in the place of /=" in said
    assert not any("while" in each for each in said)
    for each in found:
        at = each.splice
        assert DIVIDED[at.start : at.end] == each.before
        assert b"#" not in each.before
    for number in range(1, len(found) + 1):
        text = generated_mutant("a.c", "drain", number, EXCHANGES).apply(DIVIDED)
        kept = [line for line in text.splitlines() if line.startswith(b"#") or b"FOREACH" in line]
        assert len(kept) == 9


def test_arguments_of_a_macro_that_loops_are_no_condition() -> None:
    found = mutations(read_masked(DIVIDED, "drain"), EXCHANGES)
    negated = [each.before for each in found if each.kind is MutationKind.CONDITION]
    assert negated == [b"(wanted > 0)", b"(shelf->checked ||\n\twanted == 0)",
                       b"(shelf->reserved)", b"(wanted == 1)"]  # fmt: skip


@given(st.text("ab(){};#\n /*\"'", max_size=60))
def test_a_mask_keeps_every_offset(text: str) -> None:
    body = f"{{ if (a) b(); {text} }}".encode()
    for mask in MASKS:
        masked = mask(body)
        assert len(masked) == len(body)
        assert [place for place, byte in enumerate(masked) if byte == 10] == [
            place for place, byte in enumerate(body) if byte == 10
        ]


def test_a_function_that_no_mask_makes_c_has_none() -> None:
    text = b"void f(void)\n{\n\tTAILQ_HEAD(, page) pages;\n\n\tTAILQ_INIT(&pages);\n}\n"
    assert not list(generated_mutants("a.c", text, "f", EXCHANGES))
