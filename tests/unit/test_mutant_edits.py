"""What edits do to a function of ours, and where they are refused."""

from __future__ import annotations

import random
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cedit.csource import Cause, tokens
from harness.cedit.edits import (
    CallOf,
    CallStatement,
    Decide,
    Drop,
    Edit,
    Hold,
    If,
    Negate,
    Replace,
    Statement,
)
from harness.mutation.mutant import COUNTED, Mutant, MutantRefused, numa_part

FUNCTION = b"""\
static item_t
take(shelf_t shelf, int place, bool any)
{
	int first, kept;

	first = place;
	kept = (shelf->flags & OPEN) != 0 ? 0 : shelf->kept;
	do {
		if (shelf->count[place] <= kept)
			return (NULL);
		if ((shelf->flags & SORTED) == 0) {
			REMOVE(shelf, place);
			shelf->left--;
			INSERT(&shelf->used, place);
		}
		if (any)
			place = (place + 1) % places;
	} while (place != first);
	shelf->turns++;
	return (pick(shelf, place));
}
"""

EDITS = {
    "drop a branch": (Drop(If("any")), "if (any) place = (place + 1) % places;", ""),
    "drop a call": (Drop(CallStatement("REMOVE", "shelf, place")), "REMOVE(shelf, place);", ""),
    "drop a statement": (Drop(Statement("shelf->left--;")), "shelf->left--;", ""),
    "drop only where something holds": (
        Drop(Statement("shelf->left--;"), given="!(shelf->flags & SORTED)"), "shelf->left--;", "",
    ),
    "negate a branch": (Negate("any"), "if (any)", "if (!(any))"),
    "negate a loop": (
        Negate("place != first"), "while (place != first)", "while (!(place != first))",
    ),
    "negate a choice": (
        Negate("shelf->flags & OPEN"), "(shelf->flags & OPEN) != 0 ?",
        "(!((shelf->flags & OPEN) != 0)) ?",
    ),
    "negate what is negated": (
        Negate("!(shelf->flags & SORTED)"), "if ((shelf->flags & SORTED) == 0)",
        "if (!((shelf->flags & SORTED) == 0))",
    ),
    "decide a choice": (
        Decide("shelf->flags & OPEN", holds=False), "(shelf->flags & OPEN) != 0 ?", "(false) ?",
    ),
    "decide a branch": (
        Decide("!(shelf->flags & SORTED)", holds=True), "if ((shelf->flags & SORTED) == 0)",
        "if (true)",
    ),
    "replace an expression": (Replace("place + 1", "place + 2"), "place + 1", "place + 2"),
    "replace an argument": (
        Replace("place", "first", inside=CallOf("pick")), "pick(shelf, place)",
        "pick(shelf, first)",
    ),
    "replace by what has the old in it": (
        Replace("shelf->kept", "shelf->kept - 1"), ": shelf->kept;", ": shelf->kept - 1;",
    ),
    "replace in one statement": (
        Replace("place", "0", inside=Statement("first = place;")), "first = place;", "first = 0;",
    ),
    "hold a counter": (Hold("shelf->turns"), "shelf->turns++;", "(shelf->turns);"),
}  # fmt: skip
EACH = pytest.mark.parametrize(("edit", "old", "new"), EDITS.values(), ids=EDITS.keys())
GAPS = [" ", "\n", "\t", "\n\n\t", "\\\n", " /* any */ ", " // place++;\n"]


def mutant(edit: Edit, only: str = "") -> Mutant:
    return Mutant("take.somehow", "takes wrong", PurePosixPath("shelf.c"), "take", (edit,), only)


def refusal(edit: Edit, text: bytes, only: str = "") -> MutantRefused:
    with pytest.raises(MutantRefused) as caught:
        mutant(edit, only).apply(text)
    return caught.value


def run_together(text: str | bytes) -> bytes:
    return b" ".join(tokens(text if isinstance(text, bytes) else text.encode()))


@EACH
def test_exactly_this_changes(edit: Edit, old: str, new: str) -> None:
    before = run_together(FUNCTION)
    assert before.count(run_together(old)) == 1
    changed = before.replace(run_together(old), run_together(new)).split()
    assert run_together(mutant(edit).apply(FUNCTION)).split() == changed


@EACH
@settings(max_examples=settings().max_examples // 3)
@given(st.integers(0, 10**6))
def test_layout_and_comments_do_not_matter(edit: Edit, old: str, new: str, seed: int) -> None:
    chances = random.Random(seed)
    words = [token.decode() for token in tokens(FUNCTION)]
    text = "".join(word + chances.choice(GAPS) for word in words).encode()
    assert run_together(mutant(edit).apply(text)) == run_together(mutant(edit).apply(FUNCTION))


@EACH
def test_not_a_second_time(edit: Edit, old: str, new: str) -> None:
    assert refusal(edit, mutant(edit).apply(FUNCTION)).cause in (
        Cause.STATEMENT_ABSENT, Cause.STATEMENT_CHANGED,
    )  # fmt: skip


@pytest.mark.parametrize(
    "edit",
    [Negate("any"), Replace("place + 1", "place + 2"), Hold("shelf->turns"), Drop(If("any"))],
    ids=["negate", "replace", "hold", "drop"],
)
def test_what_is_done_already_is_already_absent(edit: Edit) -> None:
    refused = refusal(edit, mutant(edit).apply(FUNCTION))
    assert refused.cause is Cause.STATEMENT_ABSENT


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (Negate("any"), b"if (any)", b"if (any && first)"),
        (Negate("place != first"), b"(place != first)", b"(place > first)"),
        (Decide("any", holds=True), b"if (any)", b"if (any > 1)"),
        (Drop(If("any")), b"place = (place + 1) % places;", b"place = 0; else place = 1;"),
        (Drop(If("any", does=("place = 0;",))), b"if (any)", b"if (any)"),
        (Replace("place + 1", "place + 2"), b"place + 1", b"place - 1"),
        (Replace("place", "first", inside=CallOf("pick")), b"pick(shelf, place)",
         b"pick(shelf, place + 0)"),
    ],
)  # fmt: skip
def test_code_that_changed(edit: Edit, old: bytes, new: bytes) -> None:
    assert FUNCTION.count(old) == 1
    assert refusal(edit, FUNCTION.replace(old, new)).cause is Cause.STATEMENT_CHANGED


@EACH
def test_what_is_there_twice(edit: Edit, old: str, new: str) -> None:
    start, end = FUNCTION.index(b"\tfirst ="), FUNCTION.index(b"}\n", -3)
    body = FUNCTION[start:end]
    twice = FUNCTION[:start] + body + body + FUNCTION[end:]
    assert refusal(edit, twice).cause is Cause.STATEMENT_TWICE


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (Negate("any"), b"\t\tif (any)\n\t\t\tplace = (place + 1) % places;\n"),
        (Hold("shelf->turns"), b"\tshelf->turns++;\n"),
        (Replace("place", "0", inside=Statement("first = place;")), b"\tfirst = place;\n"),
    ],
)
def test_what_only_some_kernels_have(edit: Edit, line: bytes) -> None:
    text = FUNCTION.replace(line, b"#ifdef NUMA\n" + line + b"#endif\n")
    assert refusal(edit, text).cause is Cause.PREPROCESSOR_SPLIT


def test_a_refusal_says_which_form_the_mutant_is_for() -> None:
    refused = refusal(Hold("shelf->rounds"), FUNCTION, only=COUNTED)
    assert refused.remedy.endswith(f"; the mutant applies to {COUNTED}")


def test_of_a_file_only_what_kernels_with_numa_have_is_changed() -> None:
    other = b"#else /* !NUMA */\n" + FUNCTION + b"#endif\n"
    text = b"#ifdef NUMA\n" + FUNCTION + other
    mutated = mutant(Negate("any")).apply(text)
    assert mutated == b"#ifdef NUMA\n" + mutant(Negate("any")).apply(FUNCTION) + other


def test_a_file_that_says_nothing_of_numa_is_all_of_it() -> None:
    assert numa_part(FUNCTION) == FUNCTION
