"""The mutants on the configured FreeBSD tree's own source."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from harness.cedit.csource import Cause, read_function, tokens
from harness.mutation.mutant import Mutant, MutantRefused, numa_part
from harness.subsystems.table import find_mutant, mutants

pytestmark = pytest.mark.freebsd

FALLBACK = b"if((flags&M_USE_RESERVE)!=0){rdomain=UMA_ANYDOMAIN;gotorestart;}"
WAIT = b"vm_wait_domain(domain);"
GONE = {
    "drop-reserve-fallback": FALLBACK,
    "drop-domain-wait": WAIT,
    "drop-commit": FALLBACK + WAIT,
}
EACH = pytest.mark.parametrize("mutant", [find_mutant(name) for name in GONE], ids=list(GONE))


def source(tree: Path, mutant: Mutant) -> bytes:
    return (tree / mutant.path).read_bytes()


def extent(text: bytes, mutant: Mutant) -> tuple[int, int]:
    """The offsets of the function with the two lines that its type and name stand in."""
    body = read_function(text, mutant.function).body
    name = text.rindex(mutant.function.encode() + b"(", 0, body.start_byte)
    return text.rindex(b"\n", 0, name - 1) + 1, body.end_byte


@pytest.fixture(scope="module")
def mutated(freebsd_tree: Path) -> dict[str, bytes]:
    """The mutated file by mutant; those that are not there must be for another form of the code."""
    texts = {}
    for mutant in mutants().values():
        try:
            texts[mutant.name] = mutant.apply(source(freebsd_tree, mutant))
        except MutantRefused:
            if not mutant.only:
                raise
    return texts


def removed_and_added(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """The tokens of the changed lines of a file, run together."""
    old, new = (text.decode().splitlines(keepends=True) for text in (before, after))
    changes = list(difflib.ndiff(old, new))
    removed, added = (
        "".join(line[2:] for line in changes if line.startswith(sign)) for sign in "-+"
    )
    return b"".join(tokens(removed.encode())), b"".join(tokens(added.encode()))


@EACH
def test_exactly_the_named_statements_go(freebsd_tree: Path, mutant: Mutant) -> None:
    text = source(freebsd_tree, mutant)
    start, end = extent(text, mutant)
    mutated = mutant.apply(text)
    assert mutated.startswith(text[:start])
    assert mutated.endswith(text[end:])
    kept = mutated[start : len(mutated) - (len(text) - end)]
    removed, added = removed_and_added(text[start:end], kept)
    label = b"" if b"goto restart" in kept else b"restart:"
    assert (removed, added) == (label + GONE[mutant.name], b"")
    assert b"\n\n\n" not in kept


@EACH
def test_every_goto_keeps_its_label_and_every_label_a_goto(
    freebsd_tree: Path, mutant: Mutant
) -> None:
    function = read_function(mutant.apply(source(freebsd_tree, mutant)), mutant.function)
    labels = {
        label.text
        for node in function.nodes()
        if node.type == "labeled_statement"
        and (label := node.child_by_field_name("label")) is not None
    }
    assert labels == function.goto_labels()


def test_of_a_file_only_the_mutants_function_changes(
    freebsd_tree: Path, mutated: dict[str, bytes]
) -> None:
    for name, text in mutated.items():
        mutant = find_mutant(name)
        before = source(freebsd_tree, mutant)
        start, end = extent(numa_part(before), mutant)
        assert text != before, name
        assert text.startswith(before[:start]), name
        assert text.endswith(before[end:]), name


def test_no_mutant_is_applied_to_itself(mutated: dict[str, bytes]) -> None:
    for name, text in mutated.items():
        with pytest.raises(MutantRefused):
            find_mutant(name).apply(text)


def test_there_are_many_and_no_two_are_the_same(mutated: dict[str, bytes]) -> None:
    assert len(set(mutated.values())) == len(mutated) >= 25


def test_a_tree_has_one_order_of_reading_and_advancing_to_be_swapped(
    mutated: dict[str, bytes],
) -> None:
    orders = {f"vm_domainset_iter_rr.{name}" for name in ("read-first", "advance-first")}
    assert len(orders & mutated.keys()) == 1


@EACH
def test_a_second_time_it_is_already_absent(freebsd_tree: Path, mutant: Mutant) -> None:
    with pytest.raises(MutantRefused) as caught:
        mutant.apply(mutant.apply(source(freebsd_tree, mutant)))
    assert caught.value.cause is Cause.STATEMENT_ABSENT


@EACH
def test_the_function_may_stand_at_the_other_end_of_the_file_in_other_clothes(
    freebsd_tree: Path, mutant: Mutant
) -> None:
    text = source(freebsd_tree, mutant)
    start, end = extent(text, mutant)
    function = text[start:end].replace(b"\t", b"    ").replace(b";\n", b"; /* } */\n")
    moved = text[:start] + text[end:] + b"\n" + function + b"\n"
    mutated = mutant.apply(moved)
    there, _ = extent(mutated, mutant)
    assert mutated[:there] == text[:start] + text[end:] + b"\n"
    expected = mutant.apply(text)
    assert tokens(mutated[there:]) == tokens(expected[start : len(expected) - (len(text) - end)])


def test_commit_is_both_halves_in_either_order(freebsd_tree: Path) -> None:
    commit, wait, fallback = (
        find_mutant(name) for name in ("drop-commit", "drop-domain-wait", "drop-reserve-fallback")
    )
    text = source(freebsd_tree, commit)
    assert commit.apply(text) == wait.apply(fallback.apply(text))
    assert commit.apply(text) == fallback.apply(wait.apply(text))
