"""What a list of runs shows of each record, and which runs a user's words select. Pure."""

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

#: What a run came to, by its exit code; any other is the host's.
_BY_CODE: Final = {0: OK, 1: FAILED}


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run, as a list shows it.

    Args:
        name: of its record.
        kind: the command.
        started: ISO 8601, UTC; empty where the record does not tell.
        state: ``ok``, ``failed``, ``host``, ``interrupted``, ``running`` or ``damaged``.
        exit_code: of the command; None of a damaged record.
        cells: cells that have a result.
        as_expected: those of them that ended as expected.
        left: planned cells without a result.
        outcomes: how many cells have which outcome; ``host failed`` counts as one.
        words: that select it, beside parts of its name.
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
    """The entry of a record.

    Args:
        document: as ``Store.load`` gives it.
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
    """The runs that fit all filters, each a word of the run or a part of its name.

    Raises:
        UsageError: a filter fits none of them.
    """
    for word in filters:
        if runs and not any(_fits(run, word) for run in runs):
            raise UsageError(
                f"no run fits {word!r}",
                remedy="name a command, a state (ok, failed, host, interrupted, running), an "
                "outcome, a sanitizer, a backend, or a part of a run's name",
            )
    return [run for run in runs if all(_fits(run, word) for word in filters)]


def _fits(run: ListedRun, word: str) -> bool:
    return word in run.words or word == run.state or word in run.name
