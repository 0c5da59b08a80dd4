"""A judged night: what ran, what failed, what it means, and what is news."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.nightly.result import Result, Slot


class NightState(StrEnum):
    """The state of a night."""

    RUNNING = "running"
    """it runs, or was killed and goes on with the next ``nightly run``"""
    ENDED = "ended"
    UNJUDGED = "unjudged"
    """it ended, but a negative control did not fail as stated, so nothing else is claimed"""
    STOPPED = "stopped"
    """an error of the host or the plan ended it; what ran before is kept"""


class Classification(StrEnum):
    """What a problem is judged to be."""

    REGRESSION = "regression"
    """it failed in all repeats"""
    FLAKY = "flaky"
    """it failed in some repeats, or fails in a share of the history's boots"""
    HOST = "host"
    """the host failed, not the kernel"""
    BUILD = "build"
    """the revision does not build, in a clean object directory either"""
    UNDECIDED = "undecided"
    """no repeat failed, or it was not repeated; it is watched"""


class NewsKind(StrEnum):
    """The kinds of news, the loudest first."""

    CONTROL = "control"
    """a negative control did not fail as stated: the harness or the host is broken"""
    REGRESSION = "regression"
    BUILD = "build breakage"
    CULPRIT = "culprit"
    """the commit that caused a problem of this or an earlier night was found and proven"""
    REOPENED = "reopened"
    FIXED = "fixed"
    FLAKY = "flaky"
    FLAKIER = "flakier"
    """it fails more often than its history"""
    SLOWER = "slower"
    UNEXPECTED = "unexpected pass"
    """a cell passes that a known issue says must fail"""
    VANISHED = "vanished"
    """a cell of the last judged night is no longer in the plan, or a test no longer in its suite"""
    ISSUE_EXPIRED = "known issue expired"
    ISSUE_UNSEEN = "known issue unseen"
    ISSUE_BROAD = "known issue too broad"
    """it matches more problems than one issue can"""
    HOST = "host trouble"


@dataclass(frozen=True, slots=True)
class BranchNight:
    """A branch in one night.

    Args:
        name: see ``Slot.branch``.
        source: the tree, as ``--source`` names it.
        tip: the hash of its newest revision; empty if it could not be read.
        base: the tip of the last night that judged it; empty in the first night.
        rewritten: whether ``base`` is not an ancestor of ``tip``: the branch was force-pushed.
        problem: why it could not be fetched; the night goes on with what is there.
    """

    name: str
    source: str
    tip: str
    base: str = ""
    rewritten: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RevisionNight:
    """A revision of a branch in one night.

    Args:
        branch: see ``Slot.branch``.
        commit: its hash.
        parent: its first parent; empty for the first revision of a history.
        place: its place among the revisions since ``BranchNight.base``, which has place 0.
        rank: its place in the schedule: 0 is the tip.
        subject: the first line of its message.
        author: the author's name and mail address; never written to unless the plan says so.
        date: the author's date.
    """

    branch: str
    commit: str
    parent: str
    place: int
    rank: int
    subject: str = ""
    author: str = ""
    date: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a problem shows.

    Args:
        failed: boots that showed it.
        boots: all boots with a verdict.
        low, high: the interval that contains the true rate with 95 % confidence.
    """

    failed: int
    boots: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ProvenCulprit:
    """A revision that caused or fixed a problem, with its proof.

    Args:
        commit: its hash.
        subject: the first line of its message.
        slots: the slots that it is credited with; in each, it failed and its parent passed.
        proof: sentences, one for each tested revision and slot.
        run: name of the bisection's record; empty if the night's own results sufficed.
    """

    commit: str
    subject: str
    slots: tuple[Slot, ...]
    proof: tuple[str, ...]
    run: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """A slot that shows a problem in one night.

    Args:
        slot: the branch and the cell.
        first_bad: the oldest revision that showed it, in the first night in which the slot did.
        last_good: the newest revision before that passed; empty if none is known.
        failing: the result of the oldest revision of this night that shows it.
        passing: the result of ``last_good``; None if unknown.
    """

    slot: Slot
    first_bad: str
    last_good: str
    failing: Result
    passing: Result | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A title, with the slots that show it, as one night judged it.

    Args:
        id: eight hexadecimal digits, the same in every night of the plan.
        title: what identifies it.
        kind: ``boot``, ``check``, ``build``, ``command``, ``test`` or ``control``.
        classification: see ``Classification``.
        rate: how often it shows, since its first night or since its rate last changed.
        streak: boots of its slots that passed in a row, up to now.
        repeats: the night's repeats that judged it, ``(failed, all)``; ``(0, 0)`` for none.
        first_night: the number of the first night that showed it, or showed it again after it was
            fixed.
        last_night: the number of the last night that showed it.
        open: whether it is not fixed.
        incidents: the slots that showed it in this night.
        slots: all slots that have shown it while it was open.
        culprit: what caused it; None if unknown.
        fixed_by: what fixed it; None if it is open, or the fix is unknown.
        why_unknown: why there is no culprit: the budget, or what the bisection ended with.
        known_issue: name of the known issue that it is an incident of; empty for none.
        why: the judgement, in a sentence.
    """

    id: str
    title: str
    kind: str
    classification: Classification
    rate: Rate
    streak: int
    repeats: tuple[int, int]
    first_night: int
    last_night: int
    open: bool
    incidents: tuple[Incident, ...]
    slots: tuple[Slot, ...]
    culprit: ProvenCulprit | None = None
    fixed_by: ProvenCulprit | None = None
    why_unknown: str = ""
    known_issue: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """Something that is told once.

    Args:
        kind: see ``NewsKind``.
        key: unique in the plan: the same news is never told twice.
        text: one sentence.
        problem: id of its problem; empty for none.
        slot: the slot that it is about; None for none, or several.
        commit: the revision that it is about; empty for none.
    """

    kind: NewsKind
    key: str
    text: str
    problem: str = ""
    slot: Slot | None = None
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Night:
    """One night of a plan.

    Args:
        plan: name of the plan.
        number: counts the nights of the plan, from 1.
        state: see ``NightState``.
        started: when it started; a resumed night keeps this time.
        ended: when it ended; None while it runs.
        compared_with: the number of the last night before it that was judged; None for none.
        exit_code: see ``nightly run``; None while it runs.
        version: version of the harness.
        host: name of the host.
        command: the arguments of the harness.
        budget: seconds; None: no limit.
        spent: seconds of the night so far, over all its processes.
        notes: sentences about the comparison: a changed plan, a force-pushed branch, a missed
            night, what the budget left out.
        branches: all branches of the plan.
        revisions: all revisions since the last night, in the order of branch and place.
    """

    plan: str
    number: int
    state: NightState
    started: datetime
    ended: datetime | None = None
    compared_with: int | None = None
    exit_code: int | None = None
    version: str = ""
    host: str = ""
    command: tuple[str, ...] = ()
    budget: float | None = None
    spent: float = 0.0
    notes: tuple[str, ...] = ()
    branches: tuple[BranchNight, ...] = ()
    revisions: tuple[RevisionNight, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedNight:
    """A night with all that its page shows.

    Args:
        night: the night.
        results: all results: those of the plan, controls, repeats, proofs, and what did not run.
        problems: the open problems, and those that this night fixed; the worst first.
        news: what is told of this night; empty: nothing.
    """

    night: Night
    results: tuple[Result, ...]
    problems: tuple[Problem, ...]
    news: tuple[News, ...]
