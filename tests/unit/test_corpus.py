"""Traces that the unchanged program runs: what they show of a changed one is of the change."""

from __future__ import annotations

import re
from typing import cast

from scripted_programs import CACHED, program

from harness.onhost.corpus import Corpus
from harness.onhost.ending import EndingKind, HostEnding
from harness.subsystems.zones.invariants import HARMLESS
from harness.subsystems.zones.trace import Trace

PANIC = HostEnding(EndingKind.PANIC, "keg_fetch_slab: no slab", ("keg_fetch_slab",))
TRAP = HostEnding(EndingKind.TRAP, "vmem_alloc", ("keg_alloc_slab",))


def traces_of(corpus: Corpus) -> tuple[Trace, ...]:
    return cast("tuple[Trace, ...]", corpus.traces)


def never(trace: Trace) -> bool:
    return False


def uses_reserve(trace: Trace) -> bool:
    return "M_USE_RESERVE" in str(trace)


def is_looked_at(trace: Trace) -> bool:
    """Whether the invariant of ``CACHED`` breaks: it is looked at, and the reserve is used."""
    return uses_reserve(trace) and "cached-domain" not in trace.left_out


def is_finding(ending: HostEnding) -> bool:
    return ending.is_finding


def test_a_trace_is_cut_short_before_what_ends_the_unchanged_program() -> None:
    whole = Corpus.of(program(never), 1, 5000, HARMLESS)
    cut = Corpus.of(program(uses_reserve, PANIC), 1, 5000, HARMLESS)
    assert any(map(uses_reserve, traces_of(whole)))
    assert not any(map(uses_reserve, traces_of(cut)))
    assert 0 < cut.operations < whole.operations
    texts = [str(trace) for trace in whole.traces]
    heads = [re.escape(str(trace).strip()) for trace in cut.traces]
    assert all(any(re.match(head, text) for text in texts) for head in heads)


def test_a_harmless_invariant_is_left_out_of_the_trace_that_breaks_it() -> None:
    found = Corpus.of(program(is_looked_at), 1, 5000, HARMLESS)
    assert found.operations == Corpus.of(program(never), 1, 5000, HARMLESS).operations
    for trace in traces_of(found):
        assert (trace.left_out == ("cached-domain",)) == uses_reserve(trace)
    assert Corpus.of(program(is_looked_at), 1, 5000, ()).operations < found.operations


def test_what_the_unchanged_program_shows_by_a_trace_kills_no_mutant() -> None:
    corpus = Corpus.of(program(uses_reserve), 1, 5000, HARMLESS)
    assert corpus.first_finding(program(is_looked_at), is_finding) is None


def test_what_only_the_changed_program_shows_is_found() -> None:
    corpus = Corpus.of(program(uses_reserve), 1, 5000, HARMLESS)
    drains = program(lambda trace: "drain-cpu" in str(trace))
    assert corpus.first_finding(drains, is_finding) == CACHED


def test_a_limit_of_the_program_is_no_finding_and_ends_the_search_when_repeated() -> None:
    corpus = Corpus.of(program(never), 1, 5000, HARMLESS)
    asked: list[HostEnding] = []

    def is_finding_at_last(ending: HostEnding) -> bool:
        asked.append(ending)
        return len(asked) == last

    limited = program(lambda trace: True, TRAP)
    last = 3
    assert corpus.first_finding(limited, is_finding_at_last) == TRAP
    asked.clear()
    last = 4
    assert corpus.first_finding(limited, is_finding_at_last) == TRAP
    assert len(asked) == 3


def test_a_program_that_runs_nothing_has_an_empty_corpus() -> None:
    corpus = Corpus.of(program(lambda trace: True, PANIC), 1, 2000, HARMLESS)
    assert corpus.traces == ()
    assert corpus.first_finding(program(lambda trace: True), is_finding) is None
