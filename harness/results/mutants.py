"""Results of mutants as text, from their JSON documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.mutation.judgement import TERMS, MutantOutcome
from harness.printable import printable

_MAX_WHY = 160


def print_mutants(mutants: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the result of each mutant, then totals by result and by oracle."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("mutant", "result", "by"):
        table.add_column(heading)
    table.add_column("seconds", justify="right")
    table.add_column("why", overflow="fold")
    for each in mutants:
        if is_generated(each) and each["fate"] == MutantOutcome.CAUGHT:
            continue  # hundreds
        table.add_row(
            each["mutant"],
            Text(mutant_result(each), "green" if each["as_it_should_be"] else "red"),
            each["oracle"],
            f"{each['seconds']:.1f}" if each["seconds"] else "",
            Text(printable(mutant_why(each))),
        )
    console.print(table)
    console.print(mutants_summary(mutants), markup=False)


def mutants_summary(mutants: Sequence[Mapping[str, Any]]) -> str:
    """Return the number of mutants with each result, and of those that each oracle killed."""
    fates = Counter(mutant_result(each) for each in mutants)
    oracles = Counter(each["oracle"] for each in mutants if each["fate"] == MutantOutcome.CAUGHT)
    parts = [f"{count} {fate}" for fate, count in fates.items()]
    parts += [f"{count} by {oracle}" for oracle, count in oracles.items()]
    survivals = Counter(survival for each in mutants if (survival := each.get("survival", "")))
    parts += [f"{count} {printable(survival)}" for survival, count in survivals.items()]
    score = _score([each for each in mutants if is_generated(each)])
    plural = "" if len(mutants) == 1 else "s"
    return f"{len(mutants)} mutant{plural}: {', '.join(parts)}{score}"


def is_generated(judgement: Mapping[str, Any]) -> bool:
    """Return whether a mutant was generated, not written by hand."""
    return "#" in judgement["mutant"]


def _score(generated: Sequence[Mapping[str, Any]]) -> str:
    """The part of the generated mutants that was killed, of those that are not equivalent."""
    fates = Counter(each["fate"] for each in generated if not each["equivalent"])
    killed, survived = fates[MutantOutcome.CAUGHT], fates[MutantOutcome.SURVIVED]
    judged = killed + survived + fates[MutantOutcome.ENDED]
    return f"; score {100 * killed / judged:.1f} % of {judged}" if judged else ""


_NO_ORACLE = "no oracle killed it"


def mutant_result(judgement: Mapping[str, Any]) -> str:
    """Return whether a mutant was killed, survived or was not judged."""
    fate = judgement["fate"]
    return printable(TERMS.get(fate, fate))


def mutant_why(judgement: Mapping[str, Any]) -> str:
    """Return why a mutant has its result, in a line."""
    if judgement["fate"] == MutantOutcome.SURVIVED:
        equivalent, survival = judgement["equivalent"], judgement.get("survival", "")
        if survival:
            return f"{survival}: {equivalent or judgement['why']}"
        return f"equivalent: {equivalent}" if equivalent else judgement["why"] or _NO_ORACLE
    first, *_ = judgement["why"].splitlines() or [""]
    why = first if len(first) <= _MAX_WHY else f"{first[:_MAX_WHY]}…"
    if judgement["fate"] == MutantOutcome.CAUGHT and judgement["equivalent"]:
        return f"recorded as equivalent ({judgement['equivalent']}), but killed: {why}"
    return why
