"""Which domains the three forms of ``vm_domainset.c`` visit, and in which order."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wrong_iterators import RestartsWithTheShort, VisitsTwice

from harness.subsystems.domainset.check.generate import random_operations
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iterator import ENOMEM
from harness.subsystems.domainset.model.iteratorforms import ITERATORS
from harness.subsystems.domainset.model.machine import Branches, IteratorMisuse, Wait
from harness.subsystems.domainset.model.operations import (
    Call,
    Ignore,
    Operation,
    Short,
    Start,
    Step,
)
from harness.subsystems.domainset.model.phased import PhasedIter
from harness.subsystems.domainset.model.player import (
    Layout,
    Player,
    Seen,
    is_taken,
    new_player,
)
from harness.subsystems.domainset.model.sets import (
    ITER_LIMIT,
    Domainset,
    Policy,
    domains_of,
    domainset_create,
    mask_of,
)

FOUR = Layout(4)
MASKED = pytest.mark.parametrize("form", [Form.RESTART, Form.PHASED])
ALL = mask_of(range(4))


def start(
    policy: Policy = Policy.ROUNDROBIN,
    mask: int = ALL,
    prefer: int = -1,
    *,
    call: Call = Call.REF,
    iterator: int = 0,
    wait: Wait = Wait.NOWAIT,
    cpu: int = 0,
) -> Start:
    return Start(call, Domainset(policy, mask, prefer), iterator, wait, cpu)


def played(form: Form, *operations: Operation, layout: Layout = FOUR) -> list[Seen]:
    player = new_player(form, layout)
    answers = [player.play(operation) for operation in operations]
    return [seen for seen in answers if seen is not None]


def to_the_end(player: Player, first: Start, step: Step | None = None) -> list[int]:
    """The domains of one search that may not sleep."""
    seen = player.play(first)
    domains = []
    while seen is not None and seen.error == 0:
        domains.append(seen.domain)
        seen = player.play(step or Step(first.cpu_domain))
    return domains


def visited(form: Form, first: Start, short: int = 0, layout: Layout = FOUR) -> list[int]:
    player = new_player(form, layout)
    player.play(Short(short))
    return to_the_end(player, first)


# --- one search -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "domains"),
    [
        (Form.COUNTED, [1, 2, 3, 0, 1, 2, 3, 0]),
        (Form.RESTART, [1, 2, 3, 0, 1]),
        (Form.PHASED, [0, 1, 2, 3]),
    ],
)
def test_a_round_robin_search_with_memory_everywhere(form: Form, domains: list[int]) -> None:
    assert visited(form, start()) == domains


@pytest.mark.parametrize(
    ("form", "domains"),
    [
        (Form.COUNTED, [0, 3, 2, 0, 1, 3]),
        (Form.RESTART, [0, 3, 2, 1]),
        (Form.PHASED, [3, 0, 2, 1]),
    ],
)
def test_short_domains_come_last_behind_the_preferred_one_if_it_is_short(
    form: Form, domains: list[int]
) -> None:
    first = start(Policy.PREFER, prefer=2, iterator=3)
    assert visited(form, first, mask_of([1, 2])) == domains


def test_a_counted_first_touch_search_comes_to_its_own_domain_twice_a_pass() -> None:
    first = start(Policy.FIRSTTOUCH, mask_of([0, 1]), cpu=1)
    assert visited(Form.COUNTED, first) == [1, 1, 0, 1, 1, 0]


def test_a_counted_search_never_steps_on_to_the_preferred_domain() -> None:
    first = start(Policy.PREFER, prefer=0)
    assert visited(Form.COUNTED, first) == [0, 1, 2, 3, 0, 1, 2, 3]


def test_first_touch_outside_of_its_set_is_round_robin() -> None:
    first = start(Policy.FIRSTTOUCH, mask_of([1, 2]), cpu=3)
    assert visited(Form.COUNTED, first) == [2, 1, 2, 1]
    assert visited(Form.PHASED, first) == [1, 2]


def test_a_place_wraps_as_an_unsigned_int_does() -> None:
    last = ITER_LIMIT - 1
    assert played(Form.COUNTED, start(iterator=last))[0].iterator == 0
    assert played(Form.PHASED, start(iterator=last))[0].iterator == 0


def test_an_interleaving_set_begins_where_the_objects_address_and_the_page_say() -> None:
    layout = Layout(4, object_address=0xFFFFF80000000800, object_size=0x100)
    key = Domainset(Policy.INTERLEAVE, ALL)
    base = 0xFFFFF80000000800 // 0x100
    plain = Start(Call.OBJECT, key, 0, Wait.NOWAIT, pindex=640)
    colored = Start(Call.OBJECT, key, 0, Wait.NOWAIT, pindex=500, color=12)
    for first, offset in ((plain, base + 10), (colored, base + 1)):
        seen = played(Form.COUNTED, first, layout=layout)[0]
        assert (seen.offset, seen.domain, seen.iterator) == (offset, offset % 4, offset % 4)


def test_a_second_level_of_reservations_counts_in_the_phased_form_only() -> None:
    layout = Layout(4, object_address=0, object_size=1, reserv_order=4, reserv_order_1=5)
    first = Start(
        Call.OBJECT, Domainset(Policy.INTERLEAVE, ALL), 0, Wait.NOWAIT, pindex=1024, color=0
    )
    offsets = [played(form, first, layout=layout)[0].offset for form in Form]
    assert offsets == [64, 64, 2]


# --- waiting --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", list(Form))
def test_a_caller_that_may_sleep_sleeps_when_all_its_domains_are_short(form: Form) -> None:
    first = start(mask=1, wait=Wait.WAITOK)
    seen = played(form, Short(1), first, Step(wake=0))
    assert [(each.error, each.slept) for each in seen] == [(0, 0), (0, 1)]


@pytest.mark.parametrize("form", list(Form))
def test_a_caller_that_may_sleep_does_not_while_one_of_its_domains_has_memory(form: Form) -> None:
    first = start(mask=3, wait=Wait.WAITOK)
    seen = played(form, Short(1), first, *[Step()] * 8)
    assert all(each.error == 0 and each.slept == 0 for each in seen)


@pytest.mark.parametrize("form", list(Form))
def test_waitfail_sleeps_and_then_is_an_error(form: Form) -> None:
    first = start(mask=1, call=Call.PAGE, wait=Wait.WAITFAIL)
    seen = played(form, Short(1), first, Step(wake=0))[-1]
    assert (seen.error, seen.slept) == (errno.ENOMEM, 1)


@MASKED
def test_with_all_domains_ignored_there_is_no_memory_even_for_who_may_sleep(form: Form) -> None:
    first = start(mask=1, wait=Wait.WAITOK)
    seen = played(form, first, Ignore(0), Step(), Step())[-1]
    assert seen.error == ENOMEM
    # The phased form looks for a domain first, and finds out when it is woken.
    assert seen.slept == (form is Form.PHASED)


def test_a_phased_search_with_an_empty_set_fails_at_once() -> None:
    assert played(Form.PHASED, start(Policy.FIRSTTOUCH, 0))[0].error == ENOMEM


def test_after_sleeping_the_restarted_search_may_visit_its_preferred_domain_for_ever() -> None:
    first = start(Policy.PREFER, prefer=1, wait=Wait.WAITOK)
    seen = played(Form.RESTART, Short(mask_of([1])), first, *[Step()] * 12)
    assert [each.domain for each in seen[5:]] == [1] * 8
    seen = played(Form.PHASED, Short(mask_of([1])), first, *[Step()] * 12)
    assert {each.domain for each in seen[5:]} == set(range(4))


# --- what no caller may do ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "operations"),
    [
        (Form.COUNTED, (Step(),)),
        (Form.COUNTED, (start(mask=1), Step(), Step(), Step())),
        (Form.COUNTED, (start(), Ignore(0))),
        (Form.COUNTED, (start(Policy.FIRSTTOUCH, 0),)),
        (Form.PHASED, (start(), Ignore(0), Ignore(0))),
        (Form.PHASED, (start(mask=0),)),
        (Form.PHASED, (start(wait=Wait.WAITFAIL),)),
        (Form.PHASED, (start(Policy.PREFER, mask=1, prefer=1),)),
        (Form.PHASED, (start(mask=1 << 4),)),
    ],
)
def test_what_the_kernel_asserts_against_is_not_taken(
    form: Form, operations: tuple[Operation, ...]
) -> None:
    assert not is_taken(form, FOUR, operations)


def test_sets_hold_only_domains_that_have_memory() -> None:
    assert domainset_create(Domainset(Policy.ROUNDROBIN, 3), all_domains=1) is None
    with pytest.raises(IteratorMisuse, match="no iterator has the set 0,1"):
        played(Form.PHASED, start(mask=3), layout=Layout(2, empty=2))


# --- for all of them ------------------------------------------------------------------------


@st.composite
def searches(draw: st.DrawFn) -> tuple[Start, int]:
    """An iterator that may not sleep, and the domains that are short."""
    mask = draw(st.integers(1, ALL))
    policy = draw(st.sampled_from(Policy))
    prefer = draw(st.sampled_from(domains_of(mask))) if policy is Policy.PREFER else -1
    return start(
        policy,
        mask,
        prefer,
        call=draw(st.sampled_from([Call.POLICY, Call.REF, Call.PAGE, Call.OBJECT])),
        iterator=draw(st.integers(0, ITER_LIMIT - 1)),
        cpu=draw(st.integers(0, 3)),
    ), draw(st.integers(0, ALL))


@given(searches())
def test_a_phased_search_visits_each_domain_once_and_the_short_ones_last(
    search: tuple[Start, int],
) -> None:
    first, short = search
    domains = visited(Form.PHASED, first, short)
    assert sorted(domains) == list(domains_of(first.key.mask))
    lacking = [bool(short >> domain & 1) for domain in domains]
    assert lacking == sorted(lacking)


@given(searches())
def test_a_counted_search_ends_in_a_whole_pass_over_its_domains(
    search: tuple[Start, int],
) -> None:
    first, short = search
    domains = visited(Form.COUNTED, first, short)
    count = len(first.key.order)
    assert set(domains) == set(first.key.order)
    assert set(domains[-count:]) == set(first.key.order)
    assert not any(short >> domain & 1 for domain in domains[: -count - 1])


@given(searches())
def test_a_restarted_search_visits_every_domain_and_none_more_than_twice(
    search: tuple[Start, int],
) -> None:
    first, short = search
    domains = visited(Form.RESTART, first, short)
    assert set(domains) == set(first.key.order)
    assert all(domains.count(domain) <= 2 for domain in domains)


@pytest.mark.parametrize("layout", [Layout(2), FOUR, Layout(4, empty=mask_of([2]))])
@pytest.mark.parametrize("form", list(Form))
def test_random_operations_take_every_branch(form: Form, layout: Layout) -> None:
    branches = Branches(ITERATORS[form].BRANCHES)
    rng = random.Random(7)
    for _ in range(60):
        player = new_player(form, layout, branches)
        for operation in random_operations(rng, form, layout, 60):
            player.play(operation)
    assert [str(branch) for branch in branches.missed] == []


# --- wrong code -----------------------------------------------------------------------------


def answers(code: type[PhasedIter], operations: tuple[Operation, ...]) -> Iterator[Seen | None]:
    player = Player(Form.PHASED, FOUR, Branches(code.BRANCHES), code)
    return (player.play(operation) for operation in operations)


@pytest.mark.parametrize("wrong", [RestartsWithTheShort, VisitsTwice])
def test_random_operations_tell_wrong_code_from_right(wrong: type[PhasedIter]) -> None:
    operations = random_operations(random.Random(1), Form.PHASED, FOUR, 60)
    pairs = zip(answers(PhasedIter, operations), answers(wrong, operations), strict=True)
    assert any(right != other for right, other in pairs)
