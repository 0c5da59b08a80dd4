"""Traces: text that a person can write, and what their steps say."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.subsystems.table import subsystem_of_trace
from harness.subsystems.uma.model.flags import (
    M_NOVM,
    M_NOWAIT,
    M_USE_RESERVE,
    M_WAITOK,
    UMA_ANYDOMAIN,
)
from harness.subsystems.uma.model.player import DomainSource, Operation, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.trace import Trace, parse_trace, run_trace
from harness.subsystems.uma.model.variants import VARIANTS

BUG = """\
# the reserve lies in domain 1, and the boot CPU asks domain 0
variant 13-before
zone domains=2 ipers=42 reserve=2
prealloc 2
alloc cpu=0 M_NOWAIT|M_NOVM|M_USE_RESERVE
alloc domain=1 M_NOWAIT
free 3
"""


def test_steps_tell_domain_and_slab_and_why() -> None:
    _, missed, got, freed = run_trace(parse_trace(BUG))
    assert missed.result == "no item"
    assert "domain 0 has 0 free items" in missed.why
    assert got.result == "item 0 of slab 0, domain 1"
    assert got.why == ("domain 1 has 42 free items: slab 0",)
    assert freed.free_items == (0, 42)


def test_another_variant_may_be_taken_than_the_files() -> None:
    steps = list(run_trace(parse_trace(BUG, VARIANTS["13-after"])))
    assert steps[1].result == "item 0 of slab 0, domain 1"
    assert "M_USE_RESERVE: drain the reserves of all domains" in steps[1].why


def test_sleeping_is_told() -> None:
    text = "variant 13-after\nzone domains=2 ipers=2\nlow 1\nrefuse 1\nalloc cpu=1 M_WAITOK\n"
    assert list(run_trace(parse_trace(text)))[-1].result == "would wait on domain 1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("alloc M_NOWAIT", "line 3: 'M_NOWAIT' does not say what to allocate"),
        ("alloc cpu=0 M_ZERO", "line 3: the model knows no flag 'M_ZERO'"),
        ("explode 1", "line 3: there is no operation 'explode'"),
        ("free one", "line 3: 'one' is no number"),
        ("zone colour=red", "line 3: a zone has no 'colour=red'"),
        ("zone domains=2 domains=3", "line 3: domains is there more than once"),
        ("zone domains=2", "line 3: a trace has one zone"),
        ("variant 12-after", "line 3: the model has no variant '12-after'"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("|", r"\|")):
        parse_trace(f"# two lines\nzone domains=2 ipers=2\n{line}\n")


def test_a_trace_names_its_zone() -> None:
    with pytest.raises(UsageError, match="no line that says zone"):
        parse_trace("variant 13-after\n")


@pytest.mark.parametrize("line", ["free 7", "refuse 2", "low 9", "drain 2"])
def test_what_is_not_there_is_refused_when_it_is_reached(line: str) -> None:
    trace = parse_trace(f"variant 13-after\nzone domains=2 ipers=2\n{line}\n")
    with pytest.raises(UsageError):
        list(run_trace(trace))


LAST_LOOK = """
variant 15-after
zone domains=2 ipers=1
alloc cpu=1 M_NOWAIT
refuse 1
alloc cpu=1 M_NOWAIT
alloc cpu=1 M_NOWAIT meanwhile=1
"""


def test_what_another_cpu_frees_while_memory_is_asked_for_is_found_by_the_last_look() -> None:
    _, _, missed, got = run_trace(parse_trace(LAST_LOOK))
    assert missed.result == "no item"
    assert got.result == "item 0 of slab 0, domain 1"
    assert "meanwhile another CPU frees item 0 of slab 0" in got.why


def test_nothing_is_freed_meanwhile_where_no_memory_is_asked_for() -> None:
    text = LAST_LOOK.replace("M_NOWAIT meanwhile", "M_NOWAIT|M_NOVM meanwhile") + "free 1\n"
    *_, missed, freed = run_trace(parse_trace(text))
    assert (missed.result, freed.result) == ("no item", "slab 0 has item 0 back")


def test_what_was_freed_meanwhile_is_not_there_to_be_freed_again() -> None:
    with pytest.raises(UsageError, match="operation 5 frees what operation 1 got"):
        list(run_trace(parse_trace(LAST_LOOK + "free 1\n")))


FLAGS = st.sampled_from([M_NOWAIT, M_NOWAIT | M_NOVM | M_USE_RESERVE, M_WAITOK])
MEANWHILE = st.integers(0, 9)
ALLOCATIONS = st.builds(
    Operation, st.just(Verb.ALLOC), st.integers(0, 7), FLAGS, meanwhile=MEANWHILE
) | st.builds(
    Operation, st.just(Verb.ALLOC), st.integers(UMA_ANYDOMAIN, 7), FLAGS,
    st.just(DomainSource.DOMAIN), MEANWHILE,
)  # fmt: skip
OTHERS = st.tuples(
    st.sampled_from([verb for verb in Verb if verb is not Verb.ALLOC]), st.integers(0, 9)
).map(lambda words: Operation(*words))
SHAPES = st.builds(
    Shape,
    domains=st.integers(1, 8),
    ipers=st.integers(1, 99),
    reserve=st.integers(0, 9),
    hashed=st.booleans(),
    first_touch=st.booleans(),
    stock=st.booleans(),
    slabs=st.none() | st.integers(0, 9),
    empty=st.integers(0, 255),
    place=st.integers(0, 9),
    patience=st.none() | st.integers(1, 99),
).map(lambda shape: shape._replace(empty=shape.empty & (1 << shape.domains) - 1))


@given(
    st.builds(
        Trace,
        st.sampled_from(list(VARIANTS.values())),
        SHAPES,
        st.lists(ALLOCATIONS | OTHERS).map(tuple),
    )
)
def test_a_trace_reads_back_as_it_was_written(trace: Trace) -> None:
    assert parse_trace(str(trace)) == trace


@given(st.text(alphabet="aloc frezn=0123|M_\n#cpu", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_trace(text).shape.ipers >= 0


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ("prealloc 65536\n" * 2, "131072 preallocated items"),
        ("prealloc 999999999\n", "999999999 preallocated items"),
        ("drain 0\n" * 100_001, "more than 100000 operations"),
    ],
)
def test_a_trace_that_demands_too_much_is_refused_before_it_runs(
    operations: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        parse_trace(f"variant 13-after\nzone domains=2 ipers=1\n{operations}")


def test_the_last_look_is_where_the_phased_iterator_has_come_to_at_its_end() -> None:
    """It moves on once more for its second phase, even if that has no domain: found on 15.1."""
    text = """
        variant 15-after
        zone domains=2 ipers=4 reserve=1 patience=40 round-robin
        alloc cpu=0 M_NOWAIT
        alloc cpu=0 M_NOWAIT
        alloc cpu=0 M_NOWAIT
        alloc cpu=0 M_NOWAIT
        alloc cpu=0 M_NOWAIT
        alloc cpu=0 M_NOWAIT
        refuse 0
        refuse 1
        alloc cpu=0 M_NOWAIT meanwhile=1
    """
    last = [*run_trace(parse_trace(text))][-1]
    assert last.why[-1].startswith("domain 0 has 2 free items"), last
    assert last.outcome is not None
    assert last.outcome.domain == 0


@pytest.mark.parametrize(
    ("name", "text", "results"),
    [
        ("uma", "variant 13-after\nzone domains=2 ipers=2\nalloc cpu=0 M_NOWAIT\n",
         ["item 0 of slab 0, domain 0"]),
        ("domainset", "iterators form=phased domains=2 empty=none\n"
         "start call=policy-ref policy=round-robin domains=0,1 iter=1 wait=nowait cpu=0\n"
         "step cpu=0 wake=none\nstep cpu=0 wake=none\n",
         ["domain 1", "domain 0", "no domain (ENOMEM)"]),
    ],
)  # fmt: skip
def test_a_trace_of_any_subsystem_is_known_by_its_text_and_run_in_its_model(
    name: str, text: str, results: list[str]
) -> None:
    subsystem = subsystem_of_trace(text)
    assert subsystem.name == name
    steps = [*subsystem.run_in_model(text, None).steps]
    assert [step.result for step in steps] == results
    assert all(step.why for step in steps)


def test_a_trace_is_run_in_another_form_that_is_named_and_in_no_other() -> None:
    text = (
        "iterators form=phased domains=2 empty=none\n"
        "start call=policy-ref policy=round-robin domains=0,1 iter=1 wait=nowait cpu=0\n"
    )
    found = subsystem_of_trace(text).run_in_model(text, "13.2")
    assert [step.result for step in found.steps] == ["domain 0"]
    with pytest.raises(UsageError, match="no form"):
        subsystem_of_trace(text).run_in_model(text, "13-after")
