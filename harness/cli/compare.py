"""``harness compare``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.boot.cell import CellPlan, repeated
from harness.cli.completion import complete_mutants, complete_revisions
from harness.cli.options import (
    FILE,
    common_options,
    guest_options,
    junit_option,
    source_options,
)
from harness.cli.sanitizers import AskedSanitizers, report_option, sanitizer_options
from harness.cli.session import GuestOptions, Session
from harness.errors import UsageError, given_with
from harness.guest.topology import parse_node_counts
from harness.outcome import Outcome
from harness.source.change import Change
from harness.source.what import What, pair_of

if TYPE_CHECKING:
    from harness.cli.app import App

_SIDES = ("before", "after")


@click.command()
@source_options
@click.option(
    "--commit",
    metavar="REV",
    help="A revision; before is its first parent.",
    shell_complete=complete_revisions,
)
@click.option(
    "--before", metavar="REV", help="The revision before.", shell_complete=complete_revisions
)
@click.option(
    "--after", metavar="REV", help="The revision after.", shell_complete=complete_revisions
)
@click.option(
    "--patch",
    type=FILE,
    help="A patch; before is the tree without it.",
)
@click.option(
    "--mutant",
    metavar="NAME",
    help="A mutant; before is the tree with it.",
    shell_complete=complete_mutants,
)
@sanitizer_options
@report_option
@click.option("--numa", metavar="N,…", help="Numbers of NUMA nodes: 4, or 1,2,4, or 1-8.")
@guest_options
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, help="Boot each N times.")
@click.option(
    "--expect",
    "expects",
    multiple=True,
    metavar="[N:]SIDE=OUTCOME,…",
    help="What is expected; default: what the tree's allocator is like.",
)
@junit_option
@common_options
def compare(
    app: App,
    source: str | None,
    kernconf: str | None,
    numa: str | None,
    repeat: int,
    expects: tuple[str, ...],
    junit: Path | None,
    asked: AskedSanitizers,
    **options: Any,
) -> int:
    """Boot two kernels on the same guests: nodes x sanitizer x before and after.

    \b
    Examples:
      harness compare --source embedded --numa 4 --kasan
      harness compare --mutant drop-commit --numa 1,2,4 --kasan
      harness compare --commit REV --numa 2 --kasan --backend libvirt
      harness compare --before A --after B --numa 2 --expect before=panic,after=booted
    """
    names = ("commit", "before", "after", "patch", "mutant")
    pair = Pair(**{name: options.pop(name) for name in names})
    session = Session(app, GuestOptions(**options))
    columns = asked.columns(session.vmconfig())
    expected = parse_expectations(expects)
    sides = _sides(session.what(source, kernconf), pair, app)
    plans = []
    for side, what in zip(_SIDES, sides, strict=True):
        for sanitizers in columns:
            for topology in session.topologies(numa, sanitizers):
                nodes = len(topology.nodes)
                plan = CellPlan(
                    name=f"{side}-{sanitizers}-numa{nodes}",
                    side=side,
                    what=what,
                    sanitizers=sanitizers,
                    boot=session.plan(topology, sanitizers),
                    expected=expected.get((nodes, side), expected.get((None, side))),
                    why_expected="--expect says so",
                )
                plans += repeated(plan, repeat)
    return session.run("compare", plans, junit).exit_code


@dataclass(frozen=True, slots=True)
class Pair:
    """The two kernels to compare, as the options name them."""

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


def _sides(what: What, pair: Pair, app: App) -> tuple[What, What]:
    """The kernels before and after.

    Raises:
        UsageError: no pair, more than one, or half of one.
    """
    ways = pair.ways()
    only_pair = app.kernels().provider(what).pair(what)
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
        tree = app.open_tree(what.source)
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


def parse_expectations(
    texts: tuple[str, ...],
) -> Mapping[tuple[int | None, str], tuple[Outcome, ...]]:
    """``2,4:before=panic,after=booted`` by (nodes or None, side).

    Raises:
        UsageError: a side or outcome that is none.
    """
    found: dict[tuple[int | None, str], tuple[Outcome, ...]] = {}
    for text in texts:
        numbers, colon, rest = text.rpartition(":")
        with given_with(f"--expect {text}"):
            nodes: tuple[int | None, ...] = parse_node_counts(numbers) if colon else (None,)
        for part in rest.split(","):
            side, _, outcome = part.partition("=")
            if side not in _SIDES or outcome not in set(Outcome):
                raise _bad_expectation(text, part, outcome)
            for count in nodes:
                found[count, side] = (*found.get((count, side), ()), Outcome(outcome))
    return found


def _bad_expectation(text: str, part: str, outcome: str) -> UsageError:
    near = difflib.get_close_matches(outcome, list(Outcome), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(
        f"--expect {text}: {part!r} is not SIDE=OUTCOME",
        remedy=f"{hint}sides: {', '.join(_SIDES)}; outcomes: {', '.join(Outcome)}",
    )
