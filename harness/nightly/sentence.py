"""The sentence that sums up a night: the top of its page, and the subject of its mail. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from harness.nightly.ending import unmended
from harness.nightly.judgement import is_watched
from harness.nightly.night import (
    Classification,
    JudgedNight,
    NewsKind,
    Night,
    NightState,
    Problem,
    ProvenCulprit,
)
from harness.nightly.result import Purpose, Result, Status

#: News by which a problem is new in a night.
_OPENING: Final = (NewsKind.REGRESSION, NewsKind.BUILD, NewsKind.REOPENED, NewsKind.FLAKY)

_NOUNS: Final = {
    Classification.REGRESSION: ("regression", "regressions"),
    Classification.BUILD: ("build breakage", "build breakages"),
    Classification.FLAKY: ("flaky problem", "flaky problems"),
}

_NUMBERS: Final = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
)  # fmt: skip

#: Culprits that the sentence names; of more, it states the number.
_NAMED: Final = 2

#: Characters of a commit's subject.
_SUBJECT: Final = 60


def night_sentence(judged: JudgedNight) -> str:
    """Return the sentence that sums up a night, without a full stop, in one line.

    It may contain subjects of commits, which may contain anything: escape it for its output.
    """
    clauses = [_first_clause(judged), *_further_clauses(judged)]
    text = "; ".join(clauses)
    return text[:1].upper() + text[1:]


def _first_clause(judged: JudgedNight) -> str:
    night = judged.night
    if night.state is NightState.STOPPED:
        why = f": {_line(night.notes[-1])}" if night.notes else ""
        return f"night {night.number} stopped before it was judged{why}"
    if night.state is NightState.RUNNING:
        return f"night {night.number} has not ended"
    if night.state is NightState.UNJUDGED:
        count = sum(each.kind is NewsKind.CONTROL for each in judged.news)
        return (
            f"{counted(count, 'negative control')} did not fail as stated, so nothing is claimed "
            "about the kernels"
        )
    where = f"in {counted(_tested(judged.results), 'cell')}{_of_branches(night)}"
    new = new_problems(judged)
    if new:
        return f"{_kinds(new, 'new ')} {where}{_since(new)}"
    if not _tested(judged.results):
        return "no cell was tested"
    is_open = any(_counts(each) and each.open for each in judged.problems)
    return f"nothing {'new ' if is_open else ''}is broken {where}"


def _further_clauses(judged: JudgedNight) -> Iterator[str]:
    if judged.night.state is NightState.ENDED:
        yield from _older(judged)
        fixed = [each for each in judged.problems if _counts(each) and not each.open]
        if fixed:
            yield f"{counted(len(fixed), 'problem')} {_is(len(fixed))} fixed{_by(fixed)}"
        flakier = sum(each.kind is NewsKind.FLAKIER for each in judged.news)
        if flakier:
            yield f"{counted(flakier, 'problem')} {'fails' if flakier == 1 else 'fail'} more often"
        slower = [each for each in judged.news if each.kind is NewsKind.SLOWER]
        if len(slower) == 1:
            yield _line(slower[0].text.rpartition(": ")[0])  # without the figures
        elif slower:
            yield f"boots are slower on {counted(len(slower), 'branch')}"
    failed = len({(each.slot, each.commit) for each in unmended(judged.results)})
    if failed:
        yield f"the host failed in {counted(failed, 'cell')}"
    unfetched = [branch.name for branch in judged.night.branches if branch.problem]
    if unfetched:
        names = unfetched[0] if len(unfetched) == 1 else counted(len(unfetched), "branch")
        yield f"{names} {'was' if len(unfetched) == 1 else 'were'} not fetched"
    left = _left_out(judged.results)
    if left:
        yield f"{counted(left, 'cell')} {'was' if left == 1 else 'were'} not run"


def _older(judged: JudgedNight) -> Iterator[str]:
    """Generate the clauses on open problems of earlier nights."""
    new = {each.id for each in new_problems(judged)}
    older = [each for each in judged.problems if _counts(each) and each.open and each.id not in new]
    if not older:
        return
    found = {each.problem for each in judged.news if each.kind is NewsKind.CULPRIT}
    traced = [each for each in older if each.id in found]
    still = f"{_kinds(older, 'older ')} {_is(len(older))} still open"
    yield still + (f", {_groups(traced)}" if traced else "")


def new_problems(judged: JudgedNight) -> list[Problem]:
    """Return the open problems that are news of a night."""
    told = {each.problem for each in judged.news if each.kind in _OPENING}
    return [each for each in judged.problems if each.open and each.id in told]


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number, in words up to ten, with its noun."""
    plural = many or (one + "es" if one.endswith("ch") else one + "s")
    return f"{_number(number)} {one if number == 1 else plural}"


def _number(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else f"{number:,}"


def _counts(problem: Problem) -> bool:
    return not problem.known_issue and not is_watched(problem)


def _kinds(problems: Sequence[Problem], adjective: str) -> str:
    """Return the number of problems of each kind, the worst first."""
    words = []
    for kind, (one, many) in _NOUNS.items():
        count = sum(each.classification is kind for each in problems)
        if count:
            words.append(counted(count, adjective + one, adjective + many))
    *others, last = words or [counted(len(problems), adjective + "problem")]
    return f"{', '.join(others)} and {last}" if others else last


def _since(problems: Sequence[Problem]) -> str:
    """Return the culprits of new problems, if there are any."""
    if not any(each.culprit for each in problems):
        return ""
    return f", {_groups(problems)}"


def _groups(problems: Sequence[Problem]) -> str:
    found = [each.culprit for each in problems if each.culprit]
    culprits = {each.commit: each for each in found}
    unknown = len(problems) - len(found)
    if len(culprits) > _NAMED:
        words = [f"since {counted(len(culprits), 'commit')}"]
    elif len(culprits) == 1 and not unknown:
        return f"{_all(len(problems))}since {culprit_named(*culprits.values())}"
    else:
        words = []
        for commit, culprit in culprits.items():
            count = sum(each.commit == commit for each in found)
            words.append(f"{_number(count)} since {culprit_named(culprit)}")
    if unknown:
        words.append(f"{_number(unknown)} since an unknown commit")
    return ", ".join(words)


def _all(count: int) -> str:
    return {1: "", 2: "both "}.get(count, "all ")


def _by(fixed: Sequence[Problem]) -> str:
    fixes = {each.fixed_by.commit: each.fixed_by for each in fixed if each.fixed_by}
    if len(fixes) == 1 and all(each.fixed_by for each in fixed):
        return f" by {culprit_named(*fixes.values())}"
    return ""


def culprit_named(culprit: ProvenCulprit) -> str:
    """Return the short hash of a revision and its subject, cut to what can be read at a glance."""
    subject = _line(culprit.subject)
    if len(subject) > _SUBJECT:
        subject = subject[: _SUBJECT - 1].rstrip() + "…"
    return f"{culprit.commit[:10]} ({subject})" if subject else culprit.commit[:10]


def _line(text: str) -> str:
    return " ".join(text.split())


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _of_branches(night: Night) -> str:
    count = len(night.branches)
    return f" of {counted(count, 'branch')}" if count > 1 else ""


def _tested(results: Sequence[Result]) -> int:
    planned = (each for each in results if each.purpose is Purpose.PLANNED and each.status.tells)
    return len({(each.slot, each.commit) for each in planned})


def _left_out(results: Sequence[Result]) -> int:
    told = {(each.slot, each.commit) for each in results if each.status is not Status.NOT_RUN}
    left = {(each.slot, each.commit) for each in results if each.status is Status.NOT_RUN}
    return len(left - told)
