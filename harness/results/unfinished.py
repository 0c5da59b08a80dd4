"""Records of runs that have not ended.

Before the first boot, ``record.json`` is written with the command, the planned cells and the
process of the harness. Each cell is stored in its directory as it ends, and the result of each
mutant and of each program of tests in a file of its own, so the record survives if the harness is
killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import __version__
from harness.host.jsontoml import json_text
from harness.host.processid import ProcessId
from harness.host.workspace import write_atomic
from harness.results import CELL, JUDGEMENTS, SCHEMA, TESTS

if TYPE_CHECKING:
    from harness.kyua.tests import TestOutcome
    from harness.mutation.judgement import Judgement
    from harness.results.record import Cell

RUNNING: Final = "running"
INTERRUPTED: Final = "interrupted"

_KILLED: Final = "the harness was killed"


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of a run, as far as it is known before the first boot.

    Args:
        source: the tree, as ``--source`` names it.
        cells: names of the cells; empty if they are not known in advance.
        mutants: names of the mutants to judge.
    """

    source: str = ""
    cells: tuple[str, ...] = ()
    mutants: tuple[str, ...] = ()


def beginning(
    name: str, command: Sequence[str], started: str, planned: Planned, owner: ProcessId | None
) -> dict[str, Any]:
    """Return the record of a run that starts.

    Args:
        name: name of the run.
        command: the arguments of the harness.
        started: ISO 8601, UTC.
        planned: the cells and mutants of the run.
        owner: the process of the harness.
    """
    return {
        "schema": SCHEMA,
        "name": name,
        "command": list(command),
        "started": started,
        "harness": __version__,
        "exit_code": 3,
        "cells": [],
        "state": RUNNING,
        "planned": list(planned.cells),
        "planned_mutants": list(planned.mutants),
        "owner": asdict(owner) if owner else None,
        "source": planned.source,
    }


def ended_early(document: Mapping[str, Any], cause: str) -> dict[str, Any]:
    """Return the record of a run that was interrupted, with the cause."""
    return {**document, "state": INTERRUPTED, "owner": None, "cause": cause}


def keep_cell(directory: Path, cell: Cell) -> None:
    """Write the result of a cell into its directory.

    Raises:
        InfraError: the file cannot be written.
    """
    from harness.results.record import to_cell_document  # not needed to start a boot

    write_atomic(directory / cell.name / CELL, json_text(to_cell_document(cell), 1))


def keep_judgement(directory: Path, judgement: Judgement) -> None:
    """Write the result of a mutant into the directory of its run.

    Raises:
        InfraError: the file cannot be written.
    """
    from harness.results.record import to_judgement_document  # not needed to start a boot

    document = to_judgement_document(judgement)
    write_atomic(directory / JUDGEMENTS / f"{judgement.mutant}.json", json_text(document, 1))


def keep_tests(directory: Path, number: int, outcomes: Sequence[TestOutcome]) -> None:
    """Write the results of a program's tests into the directory of its run.

    Args:
        directory: the directory of the run.
        number: the number of the file, unique in the run.
        outcomes: the results.

    Raises:
        InfraError: the file cannot be written.
    """
    from harness.results.record import to_test_document  # not needed to start a boot

    document = {"tests": [to_test_document(outcome) for outcome in outcomes]}
    write_atomic(directory / TESTS / f"{number:05}.json", json_text(document, 1))


def with_state(
    document: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    judgements: Sequence[Mapping[str, Any]],
    tests: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the record of a run that has not ended, with its results so far.

    A run whose harness no longer exists is interrupted.

    Args:
        document: the record as written before the first boot.
        cells: results of its cells.
        judgements: results of its mutants.
        tests: results of FreeBSD's own tests.
    """
    owner = document.get("owner")
    if document["state"] == RUNNING and not (owner and ProcessId(**owner).alive):
        document = ended_early(document, _KILLED)
    return {**document, "cells": list(cells), "mutants": list(judgements), "tests": list(tests)}


def not_booted(document: Mapping[str, Any]) -> list[str]:
    """Return the names of planned cells without a result."""
    known = {cell["name"] for cell in document["cells"]}
    return [name for name in document.get("planned", ()) if name not in known]


def not_judged(document: Mapping[str, Any]) -> list[str]:
    """Return the names of planned mutants without a result."""
    known = {each["mutant"] for each in document.get("mutants", ())}
    return [name for name in document.get("planned_mutants", ()) if name not in known]


def failed_cells(document: Mapping[str, Any]) -> list[str]:
    """Return the names of cells that are not as expected, or have no result."""
    failed = [cell["name"] for cell in document["cells"] if not cell["as_expected"]]
    return [*failed, *not_booted(document)]


def failed_mutants(document: Mapping[str, Any]) -> list[str]:
    """Return the names of planned mutants whose result is wrong or missing."""
    right = {each["mutant"] for each in document.get("mutants", ()) if each["as_it_should_be"]}
    return [name for name in document.get("planned_mutants", ()) if name not in right]
