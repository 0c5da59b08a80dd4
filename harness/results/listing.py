"""Entries of a list of runs, and the filters that select them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import UsageError
from harness.results.unfinished import INTERRUPTED, RUNNING, not_booted

OK: Final = "ok"
FAILED: Final = "failed"
HOST: Final = "host"
DAMAGED: Final = "damaged"

#: The state of a run that ended, by exit code; any other code means that the host failed.
_BY_CODE: Final = {0: OK, 1: FAILED}


@dataclass(frozen=True, slots=True)
class ListedRun:
    """An entry of a list of runs.

    Args:
        name: name of the record.
        kind: the command.
        started: ISO 8601, UTC; empty if unknown.
        state: ``ok``, ``failed``, ``host``, ``interrupted``, ``running`` or ``damaged``.
        exit_code: the command's exit code; None for a damaged record.
        cells: number of cells with a result.
        as_expected: number of those that ended as expected.
        left: number of planned cells without a result.
        outcomes: number of cells with each outcome; ``host failed`` is one of the keys.
        words: filters that select the run, besides parts of its name.
        command: the arguments of the harness.
    """

    name: str
    kind: str = ""
    started: str = ""
    state: str = DAMAGED
    exit_code: int | None = None
    cells: int = 0
    as_expected: int = 0
    left: int = 0
    outcomes: Mapping[str, int] | None = None
    words: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()


def listed(document: Mapping[str, Any]) -> ListedRun:
    """Return the entry of a record.

    Args:
        document: returned by ``Store.load``.
    """
    cells = document["cells"]
    command = tuple(document.get("command", ()))
    outcomes = Counter(
        cell["verdict"]["outcome"] if cell["verdict"] else "host failed" for cell in cells
    )
    sanitizers = {name for cell in cells for name in cell["sanitizer"].split("+")}
    backends = {cell[key] for cell in cells for key in ("backend", "accelerator")}
    kind = command[0] if command else document["name"].rpartition("-")[2]
    state = document.get("state", "ended")
    if state not in (RUNNING, INTERRUPTED):
        state = _BY_CODE.get(document["exit_code"], HOST)
    return ListedRun(
        name=document["name"],
        kind=kind,
        started=document.get("started", ""),
        state=state,
        exit_code=document["exit_code"],
        cells=len(cells),
        as_expected=sum(cell["as_expected"] for cell in cells),
        left=len(not_booted(document)),
        outcomes=dict(outcomes),
        words=frozenset({kind, state, *outcomes, *sanitizers, *backends}),
        command=command,
    )


def selected(runs: Sequence[ListedRun], filters: Sequence[str]) -> list[ListedRun]:
    """Return the runs that match all filters, each a word of the run or a part of its name.

    Raises:
        UsageError: a filter matches no run.
    """
    for word in filters:
        if runs and not any(_matches(run, word) for run in runs):
            raise UsageError(
                f"no run matches {word!r}",
                remedy="filter by command, state (ok, failed, host, interrupted, running), "
                "outcome, sanitizer, backend, or a part of the run's name",
            )
    return [run for run in runs if all(_matches(run, word) for word in filters)]


def _matches(run: ListedRun, word: str) -> bool:
    return word in run.words or word == run.state or word in run.name
