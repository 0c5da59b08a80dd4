"""Compares two kernels on the same guests: nodes x sanitizers x options x before and after."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.boot.cellplan import CellPlan, kind_of, repeated
from harness.errors import UsageError, given_with
from harness.execution.program import Program, ProgramPlan
from harness.outcome import Until
from harness.runs.guests import GuestRequest, Guests
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.source.change import Change
from harness.source.request import KernelRequest, pair_of

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kerneloptions import KernelOptions
    from harness.outcome import Outcome
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers

SIDES: Final = ("before", "after")

#: A number of nodes, or None for any; and a side.
Place = tuple[int | None, str]

Expectations = Mapping[Place, tuple["Outcome", ...]]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two kernels to compare; empty if the source has only one pair.

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
        """The options with which the pair was named."""
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
        pair: their difference.
        guest: the guests, one for each number of nodes.
        columns: sanitizers of each column, with one kernel on either side; none: the vm file's.
        options: columns of kernel options; none: those of ``what``.
        repeat: number of boots of each kernel.
        expected: expected outcomes; default: predictions from the tree's code.
        program: a command that every guest runs after it has booted; None: no command.
        bad: where it is expected to fail; elsewhere, exit status 0 is expected.
    """

    what: KernelRequest
    pair: Pair = field(default_factory=Pair)
    guest: GuestRequest = field(default_factory=GuestRequest)
    columns: tuple[Sanitizers, ...] = ()
    options: tuple[KernelOptions, ...] = ()
    repeat: int = 1
    expected: Expectations = field(default_factory=dict)
    program: ProgramPlan | None = None
    bad: Collection[Place] = ()


def compare(request: CompareRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build and boot both kernels on every guest.

    Raises:
        UsageError: the request is invalid.
        BuildError: a revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    asked = request.guest
    if request.program is not None:
        asked = replace(asked, until=Until.SSH)
    guests = Guests.of(env, view, asked, request.what)
    columns = list(
        itertools.product(
            request.columns or (guests.sanitizers(None),),
            request.options or (request.what.options,),
        )
    )
    plans: list[CellPlan] = []
    for side, named in zip(SIDES, sides_of(request.what, request.pair, env), strict=True):
        for sanitizers, options in columns:
            what = guests.with_userland(replace(named, options=options))
            for topology in guests.topologies(sanitizers):
                plan = _planned(request, guests, side, what, sanitizers, topology)
                if request.program is not None:
                    plan = replace(plan, program=Program(request.program, env.logs))
                plans += repeated(plan, request.repeat)
    return recorder.boot("compare", guests, plans)


def _planned(
    request: CompareRequest, guests: Guests, side: str, what: KernelRequest,
    sanitizers: Sanitizers, topology: Topology,
) -> CellPlan:  # fmt: skip
    nodes, expected = len(topology.nodes), request.expected
    places = ((nodes, side), (None, side))
    return CellPlan(
        name=f"{side}-{kind_of(sanitizers, what)}-numa{nodes}",
        side=side,
        what=what,
        sanitizers=sanitizers,
        boot=guests.plan(topology, sanitizers),
        expected=next((expected[place] for place in places if place in expected), None),
        why_expected="set with --expect",
        bad_expected=any(place in request.bad for place in places),
        world=guests.world,
    )


def sides_of(
    what: KernelRequest, pair: Pair, env: Environment
) -> tuple[KernelRequest, KernelRequest]:
    """Return the kernels before and after.

    Raises:
        UsageError: no pair, more than one, or half of one.
    """
    ways = pair.ways()
    provider = env.kernels().provider(what)
    only_pair = provider.pair(what)
    if only_pair is not None:
        if ways:
            raise UsageError(
                f"{provider.title} has only one pair, so {ways[0]} has no effect",
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
