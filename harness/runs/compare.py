"""Two kernels on the same guests: nodes x sanitizers x before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.boot.cell import CellPlan, repeated
from harness.errors import UsageError, given_with
from harness.runs.guests import GuestRequest, Guests
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.source.change import Change
from harness.source.what import What, pair_of

if TYPE_CHECKING:
    from harness.outcome import Outcome
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers

SIDES: Final = ("before", "after")

#: What is expected of a side, on so many nodes; None stands for any number.
Expectations = Mapping[tuple[int | None, str], tuple["Outcome", ...]]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two kernels to compare; the built-in guest has one pair and needs none named.

    Args:
        commit: a revision; before is its first parent.
        before: the revision before.
        after: the revision after.
        patch: a patch; before is the tree without it.
        mutant: a mutant; before is the tree with it.
    """

    commit: str | None = None
    before: str | None = None
    after: str | None = None
    patch: Path | None = None
    mutant: str | None = None

    def ways(self) -> list[str]:
        """Which ways of naming a pair were used."""
        used = {
            "--commit": self.commit,
            "--before and --after": self.before or self.after,
            "--patch": self.patch,
            "--mutant": self.mutant,
        }
        return [name for name, value in used.items() if value]


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """Two kernels to compare.

    Args:
        what: the source and configuration of both.
        pair: what they differ in.
        guest: the guests, one for each number of nodes.
        columns: of sanitizers, each a kernel more on either side; none: those of the guest's file.
        repeat: how often each is booted.
        expected: the outcomes; where none is named, what follows from the tree's own code.
    """

    what: What
    pair: Pair = field(default_factory=Pair)
    guest: GuestRequest = field(default_factory=GuestRequest)
    columns: tuple[Sanitizers, ...] = ()
    repeat: int = 1
    expected: Expectations = field(default_factory=dict)


def compare(request: CompareRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build and boot both kernels on every guest.

    Raises:
        UsageError: what the request names is at fault.
        BuildError: a revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    guests = Guests.of(env, view, request.guest, request.what)
    columns = request.columns or (guests.sanitizers(None),)
    expected, plans = request.expected, []
    for side, what in zip(SIDES, _sides(request, env), strict=True):
        for sanitizers in columns:
            for topology in guests.topologies(sanitizers):
                nodes = len(topology.nodes)
                plan = CellPlan(
                    name=f"{side}-{sanitizers}-numa{nodes}",
                    side=side,
                    what=what,
                    sanitizers=sanitizers,
                    boot=guests.plan(topology, sanitizers),
                    expected=expected.get((nodes, side), expected.get((None, side))),
                    why_expected="--expect says so",
                )
                plans += repeated(plan, request.repeat)
    return recorder.boot("compare", guests, plans)


def _sides(request: CompareRequest, env: Environment) -> tuple[What, What]:
    """The kernels before and after.

    Raises:
        UsageError: no pair, more than one, or half of one.
    """
    what, pair = request.what, request.pair
    ways = pair.ways()
    only_pair = env.kernels().provider(what).pair(what)
    if only_pair is not None:
        if ways:
            raise UsageError(
                f"the built-in guest has one pair, so {ways[0]} says nothing",
                remedy=f"leave {ways[0]} out, or name a FreeBSD tree with --source",
            )
        return only_pair
    if len(ways) != 1:
        given = " and ".join(ways) or "nothing"
        raise UsageError(
            f"a comparison needs one pair of kernels, and {given} was given",
            remedy="name --commit, or --before and --after, or --patch, or --mutant",
        )
    if pair.commit:
        tree = env.open_tree(what.source)
        with given_with("--commit"):
            tree.require_revisions(pair.commit)
            parent = tree.repository.parent(pair.commit)
        return pair_of(what, Change(parent), Change(pair.commit))
    if pair.patch:
        return pair_of(what, Change(), Change(patch=pair.patch))
    if pair.mutant:
        return pair_of(what, Change(mutant=pair.mutant), Change())
    if not (pair.before and pair.after):
        raise UsageError(
            "only one of --before and --after was given", remedy="name --before and --after"
        )
    before, after = Change(pair.before, option="--before"), Change(pair.after, option="--after")
    return pair_of(what, before, after)
