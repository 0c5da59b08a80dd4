"""Records of runs that have not ended: written before the first boot, and read with what is there.

``record.json`` begins with the command, the cells that are planned and the process of the harness.
Each cell is kept in its directory as it ends. So whatever kills the harness, its record remains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import __version__
from harness.host.documents import json_text
from harness.host.processid import ProcessId
from harness.host.workspace import write_atomic
from harness.results import CELL, SCHEMA

if TYPE_CHECKING:
    from harness.results.record import Cell

RUNNING: Final = "running"
INTERRUPTED: Final = "interrupted"

_KILLED: Final = "its harness was killed"


def beginning(
    name: str,
    command: Sequence[str],
    started: str,
    planned: Sequence[str],
    owner: ProcessId | None,
    source: str = "",
) -> dict[str, Any]:
    """The record of a run that begins.

    Args:
        name: of the run.
        command: the arguments of the harness.
        started: ISO 8601, UTC.
        planned: names of the cells; empty where they are not known beforehand.
        owner: the harness.
        source: the tree, as ``--source`` names it.
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
        "planned": list(planned),
        "owner": asdict(owner) if owner else None,
        "source": source,
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


def with_state(document: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A record as it was read, with the cells that have ended, and whether its harness still runs.

    Args:
        document: of a run that begins.
        cells: what the directories of its cells hold.
    """
    owner = document.get("owner")
    if document["state"] == RUNNING and not (owner and ProcessId(**owner).alive):
        document = ended_early(document, _KILLED)
    return {**document, "cells": list(cells)}


def not_booted(document: Mapping[str, Any]) -> list[str]:
    """The names of the planned cells that have no result."""
    known = {cell["name"] for cell in document["cells"]}
    return [name for name in document.get("planned", ()) if name not in known]


def failed_cells(document: Mapping[str, Any]) -> list[str]:
    """The names of the cells that failed, of the host or of the kernel, or were never booted."""
    failed = [cell["name"] for cell in document["cells"] if not cell["as_expected"]]
    return [*failed, *not_booted(document)]
