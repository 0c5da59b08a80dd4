"""Records of runs that have not ended: written before the first boot, and read with what is there.

``record.json`` begins with the command, what is planned and the process of the harness. Each cell
is kept in its directory as it ends, and each mutant's judgement in a file of its own. So whatever
kills the harness, its record remains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import __version__
from harness.host.documents import json_text
from harness.host.processid import ProcessId
from harness.host.workspace import write_atomic
from harness.results import CELL, JUDGEMENTS, SCHEMA

if TYPE_CHECKING:
    from harness.mutation.fate import Judgement
    from harness.results.record import Cell

RUNNING: Final = "running"
INTERRUPTED: Final = "interrupted"

_KILLED: Final = "its harness was killed"


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run is to do, as far as that is known before it begins.

    Args:
        source: the tree, as ``--source`` names it.
        cells: names of the cells; empty where they are not known beforehand.
        mutants: names of the mutants that are judged.
    """

    source: str = ""
    cells: tuple[str, ...] = ()
    mutants: tuple[str, ...] = ()


def beginning(
    name: str, command: Sequence[str], started: str, planned: Planned, owner: ProcessId | None
) -> dict[str, Any]:
    """The record of a run that begins.

    Args:
        name: of the run.
        command: the arguments of the harness.
        started: ISO 8601, UTC.
        planned: what it is to do.
        owner: the harness.
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
    """The record of a run that begins, once it has ended without its results."""
    return {**document, "state": INTERRUPTED, "owner": None, "cause": cause}


def keep_cell(folder: Path, cell: Cell) -> None:
    """Keep a cell that has ended in its directory.

    Raises:
        InfraError: it cannot be written.
    """
    from harness.results.record import to_cell_document  # which a boot does not wait for

    write_atomic(folder / cell.name / CELL, json_text(to_cell_document(cell), 1))


def keep_judgement(folder: Path, judgement: Judgement) -> None:
    """Keep the judgement of a mutant in the directory of its run.

    Raises:
        InfraError: it cannot be written.
    """
    from harness.results.record import to_judgement_document  # which a boot does not wait for

    document = to_judgement_document(judgement)
    write_atomic(folder / JUDGEMENTS / f"{judgement.mutant}.json", json_text(document, 1))


def with_state(
    document: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    judgements: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """A record as it was read, with what has ended, and whether its harness still runs.

    Args:
        document: of a run that begins.
        cells: what the directories of its cells hold.
        judgements: what its directory of judgements holds.
    """
    owner = document.get("owner")
    if document["state"] == RUNNING and not (owner and ProcessId(**owner).alive):
        document = ended_early(document, _KILLED)
    return {**document, "cells": list(cells), "mutants": list(judgements)}


def not_booted(document: Mapping[str, Any]) -> list[str]:
    """The names of the planned cells that have no result."""
    known = {cell["name"] for cell in document["cells"]}
    return [name for name in document.get("planned", ()) if name not in known]


def not_judged(document: Mapping[str, Any]) -> list[str]:
    """The names of the planned mutants that have no judgement."""
    known = {each["mutant"] for each in document.get("mutants", ())}
    return [name for name in document.get("planned_mutants", ()) if name not in known]


def failed_cells(document: Mapping[str, Any]) -> list[str]:
    """The names of the cells that failed, of the host or of the kernel, or were never booted."""
    failed = [cell["name"] for cell in document["cells"] if not cell["as_expected"]]
    return [*failed, *not_booted(document)]


def failed_mutants(document: Mapping[str, Any]) -> list[str]:
    """The names of the mutants whose judgement is not as it should be, or is missing."""
    right = {each["mutant"] for each in document.get("mutants", ()) if each["as_it_should_be"]}
    return [name for name in document.get("planned_mutants", ()) if name not in right]
