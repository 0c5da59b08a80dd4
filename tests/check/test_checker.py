"""Checks of guests that do what the model says, or something else, or nothing any more."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from model_guest import ModelGuest, report

from harness.boot.worldguest import Login
from harness.check.checker import Checker, CheckPlan
from harness.check.result import CheckResult, Conclusion
from harness.errors import UsageError
from harness.guest.contact import Contact
from harness.host.clock import HostClock
from harness.host.progress import Recorded
from harness.subsystems.uma.model.trace import parse_trace
from harness.subsystems.uma.model.variants import VARIANTS, Variant
from harness.subsystems.uma.subsystem import UMA
from harness.subsystems.zones.subsystem import ZONES

AFTER, BEFORE = VARIANTS["15-after"], VARIANTS["15-before"]
EACH = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)


def checked(guest: ModelGuest, variant: Variant, seed: int = 1, **plan: object) -> CheckResult:
    """The result of a check of that guest."""
    chosen = CheckPlan(UMA.held_to(asdict(variant)), 1000, seed, slowness=0.02)
    checker = Checker(CheckPlan(**{**_fields(chosen), **plan}), HostClock())  # type: ignore[arg-type]
    empty = tuple(d for d in range(guest.domains) if guest.empty >> d & 1)
    checker.work(Contact(guest, Login(None)), report(guest.domains, empty), Recorded(), HostClock())
    return checker.result


def _fields(plan: CheckPlan) -> dict[str, object]:
    return {name: getattr(plan, name) for name in plan.__slots__}


@EACH
@pytest.mark.parametrize("domains", [1, 2, 4])
def test_a_guest_that_does_what_the_model_says_agrees(variant: Variant, domains: int) -> None:
    result = checked(ModelGuest(variant, domains), variant)
    assert result.conclusion is Conclusion.AGREED, result
    assert result.operations >= 1000
    assert result.setups >= 5


def test_an_answer_in_other_words_with_the_same_values_agrees() -> None:
    said = []

    def answer(body: str) -> str:
        said.append(body)
        return body.replace("place=", "place=00")

    assert checked(ModelGuest(AFTER, 2, answer=answer), AFTER).agreed
    assert len(said) > 1000


def test_a_domain_without_memory_is_part_of_it() -> None:
    assert checked(ModelGuest(AFTER, 3, empty=0b010), AFTER).agreed


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_guest_without_the_commit_is_caught_within_200_operations_and_shrunk(seed: int) -> None:
    result = checked(ModelGuest(BEFORE, 2), AFTER, seed)
    assert result.conclusion is Conclusion.DIFFERS
    assert result.difference is not None
    assert result.difference.first <= 200
    assert result.difference.length <= 10


def test_a_guest_breaks_an_invariant_where_there_is_no_model() -> None:
    unmodelled = replace(UMA.held_to(asdict(AFTER)), hunted=ZONES.held_to({}).hunted)
    result = checked(ModelGuest(BEFORE, 2), AFTER, specification=unmodelled)
    assert result.conclusion is Conclusion.BROKEN
    assert result.is_finding
    assert result.difference is not None


def test_the_shrunk_trace_shows_the_same_when_it_is_replayed() -> None:
    found = checked(ModelGuest(BEFORE, 2), AFTER).difference
    assert found is not None
    again = checked(ModelGuest(BEFORE, 2), AFTER, replay=parse_trace(found.trace))
    assert again.difference is not None
    assert again.difference.lines == found.lines
    assert checked(ModelGuest(AFTER, 2), AFTER, replay=parse_trace(found.trace)).agreed


def test_the_same_seed_runs_the_same_operations() -> None:
    first, second = ModelGuest(AFTER, 2), ModelGuest(AFTER, 2)
    checked(first, AFTER, 5)
    checked(second, AFTER, 5)
    assert first.commands == second.commands


@pytest.mark.parametrize("specification", [VARIANTS["13-after"], VARIANTS["15-after"]], ids=str)
@pytest.mark.parametrize("number", range(3))
def test_a_guest_that_is_another_variant_is_named_as_that(
    specification: Variant, number: int
) -> None:
    """One that differs in what random traces show: the wait alone shows in a starved thread."""
    other = (
        replace(specification, reserve_fallback=False),
        replace(specification, advances_first=not specification.advances_first),
        replace(specification, masked=not specification.masked),
    )[number]
    result = checked(ModelGuest(other, 3), specification)
    assert result.conclusion is Conclusion.DIFFERS
    assert result.alike == "the variant " + " and ".join(other.unlike(specification))


def test_a_guest_that_is_no_variant_is_named_as_none() -> None:
    liar = ModelGuest(AFTER, 2)
    liar.answer = after(40, lambda body: body.replace("place=0", "place=1"))
    result = checked(liar, AFTER)
    assert (result.conclusion, result.alike) == (Conclusion.DIFFERS, "")


def test_nothing_that_the_guest_answers_changes_what_it_is_told_next() -> None:
    honest, liar = ModelGuest(AFTER, 2), ModelGuest(AFTER, 2)
    liar.answer = after(100, lambda body: body.replace("place=", "place=7"))
    checked(honest, AFTER)
    checked(liar, AFTER)
    sent = [command for command in liar.commands if not command.startswith("zone")][:100]
    assert sent == [one for one in honest.commands if not one.startswith("zone")][:100]


def after(count: int, lie: Callable[[str], str]) -> Callable[[str], str]:
    """Answers truly so many times, and then so."""
    answered = 0

    def answer(body: str) -> str:
        nonlocal answered
        answered += 1
        return body if answered <= count else lie(body)

    return answer


@pytest.mark.parametrize(
    ("lie", "conclusion"),
    [
        (lambda _: "end", Conclusion.GONE),
        (lambda _: "", Conclusion.SILENT),
        (lambda body: f"{body} calls=zzz", Conclusion.NONSENSE),
        (lambda body: "0042 " + body[5:], Conclusion.NONSENSE),
        (lambda body: body + " x=" + "y" * 3000, Conclusion.NONSENSE),
        (lambda body: body.replace("place=", "plaice="), Conclusion.NONSENSE),
        (lambda body: body[:5] + "error why=out-of-range", Conclusion.REFUSED),
    ],
    ids=["ends", "falls silent", "no calls", "wrong number", "long line", "no place", "refuses"],
)  # fmt: skip
def test_a_guest_that_is_lost_ends_the_check_with_the_trace_so_far(
    lie: Callable[[str], str], conclusion: Conclusion
) -> None:
    guest = ModelGuest(AFTER, 2)
    guest.answer = after(50, lie)
    result = checked(guest, AFTER)
    assert result.conclusion is conclusion, result
    assert result.why
    assert result.operations <= 50
    trace = parse_trace(result.trace)
    assert len(trace.operations) == result.operations + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda body: re.sub(r"item=(\d+)\.(\d+)", r"item=\1.9\2", body),
        lambda body: re.sub(r" d0=(\d+),", r" d0=9\1,", body),
        lambda body: re.sub(r"domain=0", "domain=1", body),
        lambda body: re.sub(r"calls=(\d+)", r"calls=\g<1>0", body),
        lambda body: re.sub(r"place=", "slept=3 place=", body),
    ],
    ids=["another item", "a counter off", "memory elsewhere", "one call more", "slept"],
)
def test_whatever_is_off_by_one_is_seen(change: Callable[[str], str]) -> None:
    guest = ModelGuest(AFTER, 2)
    guest.answer = after(30, change)
    result = checked(guest, AFTER)
    assert result.conclusion is Conclusion.DIFFERS
    assert result.difference is not None
    assert result.difference.lines


def test_a_trace_for_more_domains_than_the_guest_has_is_refused() -> None:
    text = "variant 15-after\nzone domains=4 ipers=2 reserve=1\nalloc domain=3 M_NOWAIT\n"
    with pytest.raises(UsageError, match="for 4 domains, the guest has 2"):
        checked(ModelGuest(AFTER, 2), AFTER, replay=parse_trace(text))


def test_a_trace_that_the_kernel_asserts_against_is_not_run() -> None:
    text = "variant 15-after\nzone domains=2 ipers=2 reserve=1\nalloc domain=1 M_WAITOK|M_NOVM\n"
    guest = ModelGuest(AFTER, 2)
    with pytest.raises(UsageError, match="asserts against"):
        checked(guest, AFTER, replay=parse_trace(text))
    assert not [command for command in guest.commands if command.startswith("alloc")]


def test_a_guest_is_first_told_what_was_found_elsewhere() -> None:
    """The trace comes before random ones: one operation is enough to show the difference."""
    found = checked(ModelGuest(BEFORE, 2), AFTER).difference
    assert found is not None
    trace = parse_trace(found.trace)
    told = checked(ModelGuest(BEFORE, 2), AFTER, first=trace, operations=1)
    assert told.difference is not None
    assert (told.difference.trace, told.difference.first) == (found.trace, found.length)


def test_a_guest_that_does_not_repeat_it_goes_on_with_random_traces() -> None:
    found = checked(ModelGuest(BEFORE, 2), AFTER).difference
    assert found is not None
    result = checked(ModelGuest(AFTER, 2), AFTER, first=parse_trace(found.trace))
    assert result.conclusion is Conclusion.AGREED
    assert result.operations >= 1000 + found.length


def test_a_guest_that_cannot_be_told_it_is_checked_all_the_same() -> None:
    text = "variant 15-after\nzone domains=4 ipers=2 reserve=0\nalloc domain=3 M_NOWAIT\n"
    result = checked(ModelGuest(AFTER, 2), AFTER, first=parse_trace(text))
    assert result.conclusion is Conclusion.AGREED
