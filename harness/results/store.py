"""The folders of runs.

A run's folder holds ``record.json``, written last, and a folder for each cell: the raw
console, its events, the command line or domain XML, the kernel's configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.host.documents import json_text, read_object
from harness.host.workspace import host_refused, make_folder, write_atomic
from harness.results import CELL, JUDGEMENTS, SCHEMA

if TYPE_CHECKING:
    from harness.results.record import Run

RECORD = "record.json"
LATEST = "latest"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class Store:
    """The records under one folder."""

    folder: Path

    def create(self, kind: str, moment: datetime) -> Path:
        """A new, empty folder, named after the command and the time.

        Raises:
            InfraError: the folder cannot be made.
        """
        make_folder(self.folder)
        base = f"{moment:%Y%m%d-%H%M%S}-{kind}"
        for number in range(1000):
            path = self.folder / (f"{base}-{number}" if number else base)
            try:
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise host_refused(path, error) from error
            return path
        raise AssertionError("a thousand runs in one second")

    def save(self, run: Run) -> Path:
        """Write the record of a run that has ended; returns its folder."""
        from harness.results.record import to_document

        return self.save_document(to_document(run))

    def save_document(self, document: Mapping[str, Any]) -> Path:
        """The same of a document like those of ``to_document``, with further keys."""
        folder = self.folder / str(document["name"])
        write_atomic(folder / RECORD, json_text(document, 1))
        return folder

    def names(self) -> list[str]:
        """Every run with a record of its own, oldest first."""
        found = [path for path in self.folder.glob(f"*/{RECORD}") if is_own(path)]
        return [path.parent.name for path in sorted(found, key=lambda p: p.lstat().st_mtime)]

    def find(self, name: str) -> Path:
        """The folder of the run called ``name``; ``latest`` is the newest.

        Raises:
            UsageError: there is no such run.
        """
        names = self.names()
        if name == LATEST and names:
            return self.folder / names[-1]
        if name in names and _NAME.match(name):
            return self.folder / name
        if _NAME.match(name) and (self.folder / name / RECORD).exists():
            raise UsageError(
                f"the record of {self.folder / name} is a symbolic link, or in one",
                remedy="name the directory that it leads to: --out DIR",
            )
        known = ", ".join(names[-5:]) or "none yet"
        raise UsageError(
            f"there is no run {name!r} in {self.folder}", remedy=f"the newest runs: {known}"
        )

    def load(self, name: str) -> dict[str, Any]:
        """The document of a run, as ``to_document`` made it.

        Raises:
            UsageError: there is no such run, or its record is damaged.
        """
        from harness.results.schema import wrong_with

        path = self.find(name) / RECORD
        document = read_document(path)
        if document.get("schema") != SCHEMA:
            raise UsageError(
                f"{path} is not a record that this version of the harness can read",
                remedy="read it with the version that wrote it, or name another run",
            )
        if wrong := wrong_with(document):
            raise damaged(path, wrong)
        if document.get("state", "ended") == "ended":
            return document
        from harness.results.unfinished import with_state

        return with_state(document, kept_cells(path.parent), _kept_judgements(path.parent))


def kept_cells(folder: Path) -> list[dict[str, Any]]:
    """The cells of a run that were kept as they ended, by name.

    Raises:
        UsageError: one of them is damaged.
    """
    from harness.results.schema import wrong_with_cell

    return _kept(folder.glob(f"*/{CELL}"), wrong_with_cell)


def _kept_judgements(folder: Path) -> list[dict[str, Any]]:
    """The same of mutants that were judged."""
    from harness.results.schema import wrong_with_judgement

    return _kept((folder / JUDGEMENTS).glob("*.json"), wrong_with_judgement)


def _kept(
    paths: Iterable[Path], wrong_with: Callable[[Mapping[str, Any]], str]
) -> list[dict[str, Any]]:
    documents = []
    for path in filter(is_own, sorted(paths)):
        document = read_document(path)
        if wrong := wrong_with(document):
            raise damaged(path, wrong)
        documents.append(document)
    return documents


def is_own(path: Path) -> bool:
    """Whether a file of a run, or of one of its cells, is there and not somewhere else."""
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()


def read_document(path: Path) -> dict[str, Any]:
    """A JSON object that a run has left.

    Raises:
        UsageError: it is none, or cannot be read.
    """
    try:
        return read_object(path)
    except ValueError as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def damaged(path: Path, wrong: str) -> UsageError:
    """The error for a file of a run that is not what was written."""
    return UsageError(
        f"{path} is damaged: {wrong}", remedy="remove its directory, or name another run"
    )
