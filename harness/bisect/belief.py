"""How likely each revision is the culprit, given tests that may fail only now and then.

Bayes' rule over three things that nobody knows: which revision it is, whether the failure shows in
every test or in a share of them, and how large that share is. A kernel that passed may be bad all
the same; how much a pass counts follows from how often bad kernels were seen to fail, so that the
confidence holds for failures of any rate. Compare syzkaller's pkg/bisect/bisect.go, which has a
fixed number of tests for every bug and multiplies the confidences of single verdicts.
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
    """What is believed before the first test.

    Args:
        always: the share of failures that show in every test.
        failing, passing: of the Beta distribution of the rates of all others.
        false_alarm: how likely a good kernel shows the very failure that is looked for, be it
            that a busy host makes it look like a hang.
        outside: how likely the change is not between the two ends.
    """

    always: float = 0.2
    failing: float = 1.0
    passing: float = 2.0
    false_alarm: float = 0.005
    outside: float = 0.02


@dataclass(frozen=True, slots=True)
class Group:
    """Revisions that the tests do not tell apart.

    Args:
        mask: which; see ``Graph``.
        weight: how likely each of them is the culprit.
        rate: how likely a bad kernel fails the next test, if one of them is.
    """

    mask: int
    weight: float
    rate: float


@dataclass(frozen=True, slots=True)
class Belief:
    """How likely each revision is the culprit.

    Args:
        groups: of all revisions that may be; every one is in one group.
        outside: a group without members: the change is not between the ends.
        fixed: the revision is looked for from which on it passes.
        false_alarm: see ``Prior``.
    """

    groups: tuple[Group, ...]
    outside: Group
    fixed: bool
    false_alarm: float

    @property
    def rate(self) -> float:
        """How likely a bad kernel fails the next test."""
        inside = sum(group.weight * group.mask.bit_count() * group.rate for group in self.groups)
        return inside + self.outside.weight * self.outside.rate

    def share(self, mask: int) -> float:
        """How likely the culprit is among those of ``mask``."""
        return sum(group.weight * (group.mask & mask).bit_count() for group in self.groups)

    def likeliest(self, confidence: float) -> int:
        """The smallest set that holds the culprit with that confidence; all, if none does."""
        chosen, share = 0, 0.0
        for group in sorted(self.groups, key=lambda one: -one.weight):
            for index in bits(group.mask):
                if share >= confidence:
                    return chosen
                chosen |= 1 << index
                share += group.weight
        return chosen

    def told_by(self, masks: Iterable[int]) -> dict[int, float]:
        """The information, in bits, that a test is expected to give, for each revision's mask.

        It is the mutual information of the test's result and the culprit: how uncertain the result
        is, less how uncertain it would be if the culprit were known.
        """
        alarm = self.false_alarm
        noise_of_good = _entropy(alarm)
        # Per candidate that makes the tested kernel bad, against one that does not.
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
    """What the tests say.

    Args:
        graph: the revisions.
        evidence: by content; what is not in the graph is left out.
        fixed: the revision is looked for from which on it passes, instead of fails.
        prior: what is believed without tests.
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
    """Each tally with the revisions that, as the culprit, make its kernel bad.

    Where several revisions have that kernel, its passes speak for all of them and so do its
    failures: the first mask is of those that make any of them bad, the second of all of them.
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
    """Count tests of a bad kernel for the culprits in ``mask``."""
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
    """The logarithm of how likely the tests are: ``good`` and ``bad`` are those of bad kernels."""
    sometimes = math.log(1 - prior.always) + _log_beta(prior, good, bad)
    always = math.log(prior.always) if good == 0 else -math.inf
    alarms = false_alarms * math.log(prior.false_alarm) + others_good * math.log1p(
        -prior.false_alarm
    )
    return _log_sum(sometimes, always) + alarms


def _rate(prior: Prior, good: int, bad: int) -> float:
    """How likely the next test of a bad kernel fails, after those."""
    sometimes = math.log(1 - prior.always) + _log_beta(prior, good, bad)
    always = math.log(prior.always) if good == 0 else -math.inf
    share = math.exp(always - _log_sum(sometimes, always))
    mean = (prior.failing + bad) / (prior.failing + prior.passing + good + bad)
    return share + (1 - share) * mean


def _log_beta(prior: Prior, good: int, bad: int) -> float:
    """log B(a + bad, b + good) / B(a, b)."""
    a, b = prior.failing, prior.passing
    return (
        math.lgamma(a + bad) + math.lgamma(b + good) - math.lgamma(a + b + good + bad)
        - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
    )  # fmt: skip


def _log_sum(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high)) if low > -math.inf else high


def _entropy(probability: float) -> float:
    """Of a test's result, in bits."""
    if not 0.0 < probability < 1.0:
        return 0.0
    rest = 1.0 - probability
    return -probability * math.log2(probability) - rest * math.log2(rest)
