"""The probability that each revision is the culprit, given tests that may fail rarely.

Applies Bayes' rule to three unknowns: the culprit, whether the failure shows in every test or in a
share of them, and that share. A kernel that passed may still be bad; the weight of a pass follows
from how often bad kernels failed, so the confidence holds for failures of any rate. Compare
syzkaller's pkg/bisect/bisect.go, which has a fixed number of tests for every bug and multiplies the
confidences of single verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bisect.graph import Graph, bits

if TYPE_CHECKING:
    from harness.bisect.evidence import Tally


@dataclass(frozen=True, slots=True)
class Prior:
    """The belief before the first test.

    Args:
        always: share of failures that show in every test.
        failing, passing: parameters of the Beta distribution of the other failures' rates.
        false_alarm: probability that a good kernel shows the failure, for example because a busy
            host makes it look like a hang.
        outside: probability that the change is not between the two ends.
    """

    always: float = 0.2
    failing: float = 1.0
    passing: float = 2.0
    false_alarm: float = 0.005
    outside: float = 0.02


@dataclass(frozen=True, slots=True)
class Group:
    """Revisions that the tests do not distinguish.

    Args:
        mask: the revisions; see ``Graph``.
        weight: probability that each of them is the culprit.
        rate: probability that a bad kernel fails the next test, if one of them is the culprit.
    """

    mask: int
    weight: float
    rate: float


@dataclass(frozen=True, slots=True)
class Belief:
    """The probability that each revision is the culprit.

    Args:
        groups: groups of all candidates; each candidate is in one group.
        outside: a group without members: the change is not between the ends.
        fixed: the search is for the revision that fixed the failure.
        false_alarm: see ``Prior``.
    """

    groups: tuple[Group, ...]
    outside: Group
    fixed: bool
    false_alarm: float

    @property
    def rate(self) -> float:
        """Probability that a bad kernel fails the next test."""
        inside = sum(group.weight * group.mask.bit_count() * group.rate for group in self.groups)
        return inside + self.outside.weight * self.outside.rate

    def share(self, mask: int) -> float:
        """Return the probability that the culprit is in ``mask``."""
        return sum(group.weight * (group.mask & mask).bit_count() for group in self.groups)

    def likeliest(self, confidence: float) -> int:
        """Return the smallest set that contains the culprit with that confidence; else all."""
        chosen, share = 0, 0.0
        for group in sorted(self.groups, key=lambda one: -one.weight):
            for index in bits(group.mask):
                if share >= confidence:
                    return chosen
                chosen |= 1 << index
                share += group.weight
        return chosen

    def told_by(self, masks: Iterable[int]) -> dict[int, float]:
        """Return the expected information of a test, in bits, for each revision's mask.

        It is the mutual information of the test's result and the culprit: the entropy of the result
        less its expected entropy if the culprit were known.
        """
        alarm = self.false_alarm
        noise_of_good = _entropy(alarm)
        # For each candidate that makes the tested kernel bad, against one that does not.
        terms = [
            (group.mask, group.weight * (group.rate - alarm),
             group.weight * (_entropy(group.rate) - noise_of_good))
            for group in self.groups
        ]  # fmt: skip
        outside = self.outside
        always_fails = alarm + outside.weight * (outside.rate - alarm)
        always_noise = noise_of_good + outside.weight * (_entropy(outside.rate) - noise_of_good)
        told = {}
        for mask in masks:
            fails, noise = always_fails, always_noise
            for group, failing, noisy in terms:
                bad = (group & ~mask if self.fixed else group & mask).bit_count()
                fails += bad * failing
                noise += bad * noisy
            told[mask] = max(0.0, _entropy(fails) - noise)
        return told


def believe(
    graph: Graph, evidence: Mapping[str, Tally], *, fixed: bool, prior: Prior | None = None
) -> Belief:
    """Return the belief after the tests.

    Args:
        graph: the revisions.
        evidence: tallies by content; those not in the graph are ignored.
        fixed: the search is for the revision that fixed the failure.
        prior: the belief before the tests.
    """
    prior = prior or Prior()
    parts: list[tuple[int, int, int]] = [(graph.all, 0, 0)]
    total_good = total_bad = 0
    for tally, passing, failing in _affecting(graph, evidence, fixed=fixed):
        total_good += tally.good
        total_bad += tally.bad
        if tally.good:
            parts = _split(parts, passing, tally.good, 0)
        if tally.bad:
            parts = _split(parts, failing, 0, tally.bad)
    rows = [(mask, good, bad) for mask, good, bad in parts if mask]
    # Every kernel is bad if the change is outside.
    rows.append((0, total_good, total_bad))
    logs = [
        _likelihood(prior, good, bad, total_good - good, total_bad - bad) for _, good, bad in rows
    ]
    each = (1 - prior.outside) / max(1, len(graph.nodes))
    logs = [log + math.log(each if row[0] else prior.outside)
            for log, row in zip(logs, rows, strict=True)]  # fmt: skip
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    sizes = [mask.bit_count() or 1 for mask, _, _ in rows]
    norm = sum(weight * size for weight, size in zip(weights, sizes, strict=True))
    groups = [
        Group(mask, weight / norm, _rate(prior, good, bad))
        for (mask, good, bad), weight in zip(rows, weights, strict=True)
    ]
    return Belief(tuple(groups[:-1]), groups[-1], fixed, prior.false_alarm)


def _affecting(
    graph: Graph, evidence: Mapping[str, Tally], *, fixed: bool
) -> list[tuple[Tally, int, int]]:
    """Yield each tally with the candidates that would make its kernel bad.

    Several revisions can have that kernel; its results count for all of them. The first mask has
    the candidates that make any of them bad, the second those that make all of them bad.
    """
    any_bad: dict[str, int] = {}
    all_bad: dict[str, int] = {}
    for name, content in graph.contents.items():
        if content in evidence:
            mask = graph.masks.get(name, 0)
            bad = graph.all & ~mask if fixed else mask
            any_bad[content] = any_bad.get(content, 0) | bad
            all_bad[content] = all_bad.get(content, graph.all) & bad
    return [(evidence[content], any_bad[content], all_bad[content]) for content in any_bad]


def _split(
    parts: list[tuple[int, int, int]], mask: int, good: int, bad: int
) -> list[tuple[int, int, int]]:
    """Return the tests of bad kernels, for the culprits in ``mask``."""
    merged: dict[tuple[int, int], int] = {}
    for part, goods, bads in parts:
        inside = part & mask
        if inside:
            key = (goods + good, bads + bad)
            merged[key] = merged.get(key, 0) | inside
        if part & ~mask:
            merged[goods, bads] = merged.get((goods, bads), 0) | (part & ~mask)
    return [(part, goods, bads) for (goods, bads), part in merged.items()]


def _likelihood(prior: Prior, good: int, bad: int, others_good: int, false_alarms: int) -> float:
    """Return the log-likelihood of tests of bad kernels, ``good`` passes and ``bad`` failures."""
    sometimes = math.log(1 - prior.always) + _log_beta(prior, good, bad)
    always = math.log(prior.always) if good == 0 else -math.inf
    alarms = false_alarms * math.log(prior.false_alarm) + others_good * math.log1p(
        -prior.false_alarm
    )
    return _log_sum(sometimes, always) + alarms


def _rate(prior: Prior, good: int, bad: int) -> float:
    """Return the probability that the next test of a bad kernel fails after those."""
    sometimes = math.log(1 - prior.always) + _log_beta(prior, good, bad)
    always = math.log(prior.always) if good == 0 else -math.inf
    share = math.exp(always - _log_sum(sometimes, always))
    mean = (prior.failing + bad) / (prior.failing + prior.passing + good + bad)
    return share + (1 - share) * mean


def _log_beta(prior: Prior, good: int, bad: int) -> float:
    """Return log B(a + bad, b + good) / B(a, b)."""
    a, b = prior.failing, prior.passing
    return (
        math.lgamma(a + bad) + math.lgamma(b + good) - math.lgamma(a + b + good + bad)
        - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
    )  # fmt: skip


def _log_sum(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high)) if low > -math.inf else high


def _entropy(probability: float) -> float:
    """Return the entropy of a test's result, in bits."""
    if not 0.0 < probability < 1.0:
        return 0.0
    rest = 1.0 - probability
    return -probability * math.log2(probability) - rest * math.log2(rest)
