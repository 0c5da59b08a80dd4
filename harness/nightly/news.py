"""What is news of a night: what changed since the last one, each told once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.nightly.judgement import is_unjudged, is_watched
from harness.nightly.night import (
    BranchNight,
    Classification,
    News,
    NewsKind,
    Problem,
    ProvenCulprit,
)

if TYPE_CHECKING:
    from harness.nightly.controls import ControlResult
    from harness.nightly.issues import KnownIssue
    from harness.nightly.result import Result, Slot
    from harness.nightly.timing import Slowdown

_OPENING: Mapping[Classification, NewsKind] = {
    Classification.REGRESSION: NewsKind.REGRESSION,
    Classification.BUILD: NewsKind.BUILD,
    Classification.FLAKY: NewsKind.FLAKY,
}

#: Slots that a sentence names; of more, it states the number.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class NightChange:
    """What a night is compared with, and what it found.

    Args:
        number: the night's number.
        before: the problems as the last night judged them, by id.
        problems: the problems as this night judges them.
        flakier: ids of the problems whose rate rose.
        vanished: slots of the last judged night that the plan no longer has.
        vanished_tests: tests of suites that an earlier night ran and this one did not, by slot.
        slower: cells whose boots became slower.
    """

    number: int
    before: Mapping[str, Problem]
    problems: Sequence[Problem]
    flakier: Collection[str] = ()
    vanished: Sequence[Slot] = ()
    vanished_tests: Mapping[Slot, Sequence[str]] = field(default_factory=dict)
    slower: Sequence[Slowdown] = ()


def news_of(change: NightChange) -> tuple[News, ...]:
    """Return the news of the problems, the loudest first."""
    found = [
        *(each for problem in change.problems for each in _of_problem(change, problem)),
        *_slower(change.slower),
        *_vanished(change),
        *_vanished_tests(change),
    ]
    return _ordered(found)


def control_news(number: int, broken: Iterable[ControlResult]) -> tuple[News, ...]:
    """Return the news of negative controls that did not fail as stated.

    Args:
        number: the night's number.
        broken: the controls.
    """
    return tuple(
        News(
            NewsKind.CONTROL,
            f"control:{result.slot.branch}:{result.slot.cell}:{number}",
            f"the negative control {result.slot.cell} of {result.slot.branch} did not fail as "
            f"stated{_in_attempts(each.attempts)}: "
            f"{result.title or result.outcome or result.status}",
            slot=result.slot,
            commit=result.commit,
        )
        for each in broken
        for result in (each.result,)
    )


def _in_attempts(attempts: int) -> str:
    return f" in any of {attempts} attempts" if attempts > 1 else ""


def host_news(
    number: int, results: Sequence[Result], branches: Sequence[BranchNight], *, before: bool
) -> tuple[News, ...]:
    """Return the news of a host that failed, unless the last night told of it already.

    Args:
        number: the night's number.
        results: the results in which the host failed in each retry.
        branches: the branches, of which some may not have been fetched.
        before: whether the last night had host trouble, too.
    """
    if before:
        return ()
    unfetched = [branch for branch in branches if branch.problem]
    words = []
    if results:
        why = results[0].detail or results[0].title or "no verdict"
        words.append(f"the host failed in {_count(len(results), 'cell')}: {_first_line(why)}")
    words += [f"{each.name} was not fetched: {_first_line(each.problem)}" for each in unfetched]
    if not words:
        return ()
    return (News(NewsKind.HOST, f"host:{number}", "; ".join(words)),)


def issue_news(
    expired: Iterable[KnownIssue],
    unseen: Iterable[KnownIssue],
    broad: Mapping[str, int],
) -> tuple[News, ...]:
    """Return the news of known issues.

    Args:
        expired: those whose date has passed.
        unseen: those that no night has seen for long.
        broad: the number of problems that each too broad one matches, by name.
    """
    found = [
        News(
            NewsKind.ISSUE_EXPIRED, f"expired:{issue.name}:{issue.expires}",
            f"the known issue {issue.name} expired on {issue.expires}; owner: {issue.owner}",
        )
        for issue in expired
    ]  # fmt: skip
    found += [
        News(
            NewsKind.ISSUE_UNSEEN, f"unseen:{issue.name}:{issue.added}",
            f"the known issue {issue.name} has not been seen for long; remove it if it is fixed",
        )
        for issue in unseen
    ]  # fmt: skip
    found += [
        News(
            NewsKind.ISSUE_BROAD, f"broad:{name}:{count.bit_length()}",  # again when it doubles
            f"the known issue {name} matches {count} problems; make its pattern narrower",
        )
        for name, count in broad.items()
    ]  # fmt: skip
    return tuple(found)


def untold(news: Iterable[News], told: Collection[str]) -> tuple[News, ...]:
    """Return the news that were not told before, the loudest first."""
    fresh = {each.key: each for each in news if each.key not in told}
    return _ordered(fresh.values())


def _ordered(news: Iterable[News]) -> tuple[News, ...]:
    loudness = list(NewsKind)
    return tuple(sorted(news, key=lambda each: (loudness.index(each.kind), each.key)))


def _of_problem(change: NightChange, problem: Problem) -> Iterator[News]:
    before = change.before.get(problem.id)
    if is_watched(problem):
        return
    if problem.known_issue:
        yield from _of_known(problem, before)
        return
    opening = f"{problem.id}:{problem.first_night}"
    where = places_in_words(problem.slots)
    known = before is not None and not is_unjudged(before) and not _is_back(problem, before)
    if not known and problem.incidents:
        yield _opening(problem, before, opening, where)
    culprit = problem.culprit
    if culprit is not None and (before is None or before.culprit != culprit):
        yield News(
            NewsKind.CULPRIT, f"culprit:{opening}:{culprit.commit}",
            f"{problem.title}: since {culprit_in_words(culprit)}", problem.id,
            commit=culprit.commit,
        )  # fmt: skip
    if problem.id in change.flakier:
        rate = problem.rate
        yield News(
            NewsKind.FLAKIER, f"flakier:{problem.id}:{change.number}",
            f"{problem.title} fails more often: {rate.failed} of {rate.boots} boots in {where}",
            problem.id,
        )  # fmt: skip
    if not problem.open:
        fix = problem.fixed_by
        by = f", by {culprit_in_words(fix)}" if fix else ""
        yield News(
            NewsKind.FIXED, f"fixed:{opening}", f"fixed: {problem.title}{by}", problem.id,
            commit=fix.commit if fix else "",
        )  # fmt: skip


def _is_back(problem: Problem, before: Problem) -> bool:
    """Return whether a problem was fixed, perhaps without being told so, and is open again."""
    return not before.open or before.first_night != problem.first_night


def _opening(problem: Problem, before: Problem | None, opening: str, where: str) -> News:
    again = before is not None and not is_watched(before) and _is_back(problem, before)
    kind = NewsKind.REOPENED if again else _OPENING[problem.classification]
    verb = "is back" if again else "is new"
    if before is not None and before.open and before.known_issue:
        verb = f"is no longer the known issue {before.known_issue}; it shows"
        opening = f"{opening}:{before.known_issue}"
    rate = problem.rate
    share = ""
    if problem.classification is Classification.FLAKY:
        share = f", in {rate.failed} of {rate.boots} boots"
    text = f"{problem.title} {verb} in {where}{share}"
    slot = problem.incidents[0].slot if len(problem.incidents) == 1 else None
    return News(kind, f"{kind.name.lower()}:{opening}", text, problem.id, slot)


def _of_known(problem: Problem, before: Problem | None) -> Iterator[News]:
    if before is not None and before.open and not problem.open:
        yield News(
            NewsKind.UNEXPECTED, f"unexpected:{problem.id}:{problem.first_night}",
            f"{problem.title} no longer shows, which the known issue {problem.known_issue} expects",
            problem.id,
        )  # fmt: skip


def _slower(slowdowns: Sequence[Slowdown]) -> Iterator[News]:
    """Yield one news for all cells of a branch with the same culprit, or without one.

    Without one it is told once for a base: a later night may go on, and name the culprit.
    """
    groups: dict[tuple[str, str], list[Slowdown]] = {}
    for each in slowdowns:
        commit = each.culprit.commit if each.culprit else ""
        groups.setdefault((each.slot.branch, commit), []).append(each)
    for (branch, commit), group in groups.items():
        worst = max(group, key=lambda each: each.after / each.before)
        culprit = worst.culprit
        since = f" since {culprit_in_words(culprit)}" if culprit else f", at {worst.tip[:12]}"
        yield News(
            NewsKind.SLOWER, f"slower:{branch}:{commit or f'after {worst.base}'}",
            f"{places_in_words([each.slot for each in group])} "
            f"{'boots' if len(group) == 1 else 'boot'} slower{since}: {worst.after:.2f} s of CPU "
            f"time, {worst.after / worst.before - 1:.0%} more than at {worst.base[:12]}, in "
            f"{worst.boots} boots of each",
            slot=group[0].slot if len(group) == 1 else None, commit=commit or worst.tip,
        )  # fmt: skip


def _vanished(change: NightChange) -> Iterator[News]:
    if change.vanished:
        names = places_in_words(change.vanished)
        count = _count(len(change.vanished), "cell")
        yield News(
            NewsKind.VANISHED, f"vanished:{change.number}",
            f"{count} of the last night {'is' if len(change.vanished) == 1 else 'are'} no longer "
            f"in the plan: {names}",
        )  # fmt: skip


def _vanished_tests(change: NightChange) -> Iterator[News]:
    for slot, tests in change.vanished_tests.items():
        more = f"{tests[0]} and {len(tests) - 1} more"
        named = ", ".join(tests) if len(tests) <= _NAMED else more
        verb = "is" if len(tests) == 1 else "are"
        yield News(
            NewsKind.VANISHED, f"vanished:{slot.branch}:{slot.cell}:{change.number}",
            f"{_count(len(tests), 'test')} of {slot.branch} {slot.cell} {verb} gone: {named}",
            slot=slot,
        )  # fmt: skip


def places_in_words(slots: Sequence[Slot]) -> str:
    """Return the names of slots, or their number if there are many."""
    if len(slots) > _NAMED:
        branches = len({slot.branch for slot in slots})
        return f"{len(slots)} cells of {_count(branches, 'branch', 'branches')}"
    return ", ".join(f"{slot.branch} {slot.cell}" for slot in slots)


def culprit_in_words(culprit: ProvenCulprit) -> str:
    """Return the short hash and the subject of a culprit."""
    return f"{culprit.commit[:12]} ({culprit.subject})" if culprit.subject else culprit.commit[:12]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text.splitlines() else text
