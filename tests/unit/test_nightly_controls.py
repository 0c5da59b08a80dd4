"""What the attempts of negative controls come to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.controls import (
    attempts_of_controls,
    broken_controls,
    shown_without,
    silent_controls,
    wants_repeat,
)
from harness.nightly.result import Purpose, Result, Slot, Status

CONTROL = Slot("tree:main", "drop-commit-none-numa2")
PLANNED = Slot("tree:main", "boot-none-numa2")
FLAKE = "no ideas left"

#: What an attempt may come to: its status, outcome and title.
SEEN = (Status.PASSED, "panic", "control lost")
BOOTED = (Status.FAILED, "booted", "booted")
SPOILT = (Status.FAILED, "panic", FLAKE)
OTHERWISE = (Status.FAILED, "hang", "no output")
HOST = (Status.HOST_FAILED, "", "no memory")
UNBUILT = (Status.UNBUILT, "", "vm.c: error: x")
REFUSED = (Status.FAILED, "", "the mutant does not apply")
BOOTS = (SEEN, BOOTED, SPOILT, OTHERWISE, HOST)

SHOWN = {("tree:main", FLAKE)}


def attempt(number: int, kind: tuple[Status, str, str]) -> Result:
    status, outcome, title = kind
    return Result(CONTROL, "tip", status, Purpose.CONTROL, number, outcome=outcome, title=title)


def tried(ends: list[tuple[Status, str, str]]) -> list[Result]:
    """Return the attempts of a control whose boots end so, repeated as long as is asked."""
    made = [attempt(0, ends[0])]
    for number, kind in enumerate(ends[1:], 1):
        if not wants_repeat(made, SHOWN):
            break
        made.append(attempt(number, kind))
    return made


@given(st.lists(st.sampled_from(BOOTS), min_size=1, max_size=30))
def test_one_attempt_that_fails_as_stated_is_enough(
    ends: list[tuple[Status, str, str]],
) -> None:
    made = tried(ends)
    if any(each.status is Status.PASSED for each in made):
        assert made[-1].status is Status.PASSED
        assert not broken_controls(made, SHOWN)
        assert not silent_controls(made, SHOWN)
    assert len([each for each in made if each.status.tells]) <= 11


@given(st.lists(st.sampled_from((SPOILT, HOST)), min_size=1, max_size=30))
def test_what_a_flake_or_the_host_spoilt_does_not_count_against_a_control(
    ends: list[tuple[Status, str, str]],
) -> None:
    made = tried(ends)
    assert not broken_controls(made, SHOWN)
    spoilt = any(each.title == FLAKE for each in made)
    assert [each.attempts for each in silent_controls(made, SHOWN)] == [len(made)] * spoilt


@given(st.sampled_from((BOOTED, OTHERWISE)), st.integers(0, 5))
def test_a_control_that_never_fails_as_stated_is_broken(
    kind: tuple[Status, str, str], spoilt: int
) -> None:
    made = tried([*[SPOILT] * spoilt, *[kind] * 20])
    (broken,) = broken_controls(made, SHOWN)
    assert broken.result.title == kind[2]
    assert broken.attempts == len(made) == (6 if kind is BOOTED and not spoilt else 11)


def test_a_kernel_that_is_not_made_does_not_go_by_chance() -> None:
    assert len(tried([REFUSED] * 9)) == 1
    assert len(tried([UNBUILT] * 9)) == 2
    for kind in (REFUSED, UNBUILT):
        assert len(broken_controls(tried([kind] * 9), SHOWN)) == 1


def test_a_revision_that_fails_without_the_mutant_is_not_tried_for_long() -> None:
    assert len(tried([SPOILT] * 20)) == 6
    broken = (Status.UNBUILT, "", FLAKE)  # the revision does not build either
    assert len(tried([broken] * 20)) == 1
    assert not broken_controls(tried([broken] * 20), SHOWN)


def test_a_flake_is_known_by_its_title_on_the_same_branch() -> None:
    results = [
        Result(PLANNED, "tip", Status.FAILED, title=FLAKE),
        Result(PLANNED, "tip", Status.PASSED, title="booted"),
        Result(Slot("tree:other", "x"), "tip", Status.FAILED, title="elsewhere"),
        attempt(0, SPOILT),
    ]
    assert shown_without(results, ()) == {("tree:main", FLAKE), ("tree:other", "elsewhere")}
    assert attempts_of_controls(results) == {CONTROL: results[3:]}
