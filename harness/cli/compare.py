"""``harness compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_mutants, complete_revisions
from harness.cli.options import (
    FILE,
    common_options,
    exec_option,
    guest_options,
    guest_request,
    junit_option,
    named_kernel,
    source_options,
)
from harness.cli.publish import publish_run
from harness.cli.sanitizers import AskedSanitizers, report_option, sanitizer_options
from harness.cli.view import UserView
from harness.errors import UsageError, did_you_mean, given_with
from harness.execution.program import ProgramPlan
from harness.guest.topology import parse_node_counts
from harness.kerneloptions import parse_options
from harness.outcome import Outcome
from harness.runs.compare import SIDES, CompareRequest, Expectations, Pair, Place
from harness.runs.compare import compare as compare_kernels

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@source_options
@click.option(
    "--commit",
    metavar="REV",
    help="A revision; 'before' is its first parent.",
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
    help="A patch; 'before' is the tree without it.",
)
@click.option(
    "--mutant",
    metavar="NAME",
    help="A mutant; 'before' is the tree with it.",
    shell_complete=complete_mutants,
)
@sanitizer_options
@report_option
@click.option("--numa", metavar="N,…", help="Numbers of NUMA nodes: 4, or 1,2,4, or 1-8.")
@guest_options
@click.option(
    "--repeat", type=click.IntRange(1, 1000), metavar="N", default=1, help="Boot each N times."
)
@click.option(
    "--expect",
    "expects",
    multiple=True,
    metavar="[N:]SIDE=OUTCOME,…",
    help="Expected outcomes; default: the model's prediction for the tree.",
)
@exec_option
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
    """Boot two kernels on the same guests: nodes x sanitizer x option x before and after.

    \b
    Examples:
      harness compare --source embedded --numa 4 --kasan
      harness compare --mutant drop-commit --numa 1,2,4 --kasan
      harness compare --commit REV --numa 2 --kasan --backend libvirt
      harness compare --commit REV --option none --option INVARIANTS=n
      harness compare --before A --after B --expect before=panic,after=booted
      harness compare --commit REV --exec ./check --expect before=bad,after=good
    """
    names = ("commit", "before", "after", "patch", "mutant")
    pair = Pair(**{name: options.pop(name) for name in names})
    command = options.pop("command")
    outcomes, bad = parse_expectations(expects, with_command=command is not None)
    request = CompareRequest(
        named_kernel(app, source, kernconf),
        pair,
        guest_request(options, numa),
        asked.columns(),
        tuple(dict.fromkeys(parse_options([text]) for text in options.pop("kernel_options"))),
        repeat,
        outcomes,
        ProgramPlan(command) if command is not None else None,
        bad,
    )
    result = compare_kernels(request, app, UserView(app))
    publish_run(app, result, junit)
    return result.exit_code


def parse_expectations(
    texts: tuple[str, ...], *, with_command: bool = False
) -> tuple[Expectations, frozenset[Place]]:
    """Return the outcomes of ``2,4:before=panic,after=booted``, and where a command is to fail.

    Args:
        texts: the values of ``--expect``.
        with_command: whether ``good`` and ``bad`` can be expected: booted, and the command's
            result.

    Raises:
        UsageError: a side or outcome that is none.
    """
    found: dict[Place, tuple[Outcome, ...]] = {}
    bad: set[Place] = set()
    results = ("good", "bad") if with_command else ()
    for text in texts:
        numbers, colon, rest = text.rpartition(":")
        with given_with(f"--expect {text}"):
            nodes: tuple[int | None, ...] = parse_node_counts(numbers) if colon else (None,)
        for part in rest.split(","):
            side, _, outcome = part.partition("=")
            if side not in SIDES or outcome not in {*Outcome, *results}:
                raise _bad_expectation(text, part, outcome, (*results, *Outcome))
            value = Outcome.BOOTED if outcome in results else Outcome(outcome)
            for count in nodes:
                found[count, side] = (*found.get((count, side), ()), value)
                if outcome == "bad":
                    bad.add((count, side))
    return found, frozenset(bad)


def _bad_expectation(text: str, part: str, outcome: str, known: tuple[str, ...]) -> UsageError:
    hint = did_you_mean(outcome, known)
    return UsageError(
        f"--expect {text}: {part!r} is not SIDE=OUTCOME",
        remedy=f"{hint}sides: {', '.join(SIDES)}; outcomes: {', '.join(known)}",
    )
