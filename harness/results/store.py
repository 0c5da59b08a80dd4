"""The directories of runs.

A run's directory contains ``record.json`` and a directory for each cell: the raw console, its
events, the command line or domain XML, the kernel configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.host.jsontoml import json_text, read_object
from harness.host.workspace import host_refused, make_directory, write_atomic
from harness.results import CELL, JUDGEMENTS, SCHEMA, TESTS

if TYPE_CHECKING:
    from harness.results.record import Run

RECORD = "record.json"
LATEST = "latest"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class Store:
    """The records in one directory."""

    directory: Path

    def create(self, kind: str, moment: datetime) -> Path:
        """Create an empty directory, named after the time and the command, and return it.

        Raises:
            InfraError: the directory cannot be created.
        """
        make_directory(self.directory)
        base = f"{moment:%Y%m%d-%H%M%S}-{kind}"
        for number in range(1000):
            path = self.directory / (f"{base}-{number}" if number else base)
            try:
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise host_refused(path, error) from error
            return path
        raise AssertionError("a thousand runs in one second")

    def save(self, run: Run) -> Path:
        """Write the record of a run that has ended, and return its directory."""
        from harness.results.record import to_document

        return self.save_document(to_document(run))

    def save_document(self, document: Mapping[str, Any]) -> Path:
        """Write a document of ``to_document``, possibly with more keys; return its directory."""
        directory = self.directory / str(document["name"])
        write_atomic(directory / RECORD, json_text(document, 1))
        return directory

    def names(self) -> list[str]:
        """Return the names of all runs that have a record, oldest first; links are ignored."""
        found = [path for path in self.directory.glob(f"*/{RECORD}") if is_own(path)]
        return [path.parent.name for path in sorted(found, key=lambda p: p.lstat().st_mtime)]

    def find(self, name: str) -> Path:
        """Return the directory of a run; ``latest`` is the newest.

        Raises:
            UsageError: there is no such run.
        """
        is_name = name != LATEST and _NAME.match(name) is not None
        if is_name and is_own(self.directory / name / RECORD):
            return self.directory / name
        names = self.names()
        if name == LATEST and names:
            return self.directory / names[-1]
        if is_name and (self.directory / name / RECORD).exists():
            raise UsageError(
                f"the record of {self.directory / name} is a symbolic link, or reached by one",
                remedy="name the link's target: --out DIR",
            )
        known = ", ".join(names[-5:]) or "none yet"
        raise UsageError(
            f"there is no run {name!r} in {self.directory}", remedy=f"the newest runs: {known}"
        )

    def load(self, name: str) -> dict[str, Any]:
        """Return the record of a run, in the form of ``to_document``.

        Raises:
            UsageError: there is no such run, or its record is damaged.
        """
        from harness.results.schema import wrong_with

        path = self.find(name) / RECORD
        document = read_document(path)
        if document.get("schema") != SCHEMA:
            raise UsageError(
                f"{path} has a schema that this version of the harness cannot read",
                remedy="read it with the version that wrote it, or name another run",
            )
        if wrong := wrong_with(document):
            raise damaged(path, wrong)
        if document.get("state", "ended") == "ended":
            return document
        from harness.results.unfinished import with_state

        directory = path.parent
        return with_state(
            document, kept_cells(directory), _kept_judgements(directory), _kept_tests(directory)
        )


def kept_cells(directory: Path) -> list[dict[str, Any]]:
    """Return the cells that were stored as they ended, sorted by name.

    Raises:
        UsageError: the file of a cell is damaged.
    """
    from harness.results.schema import wrong_with_cell

    return _kept(directory.glob(f"*/{CELL}"), wrong_with_cell)


def _kept_judgements(directory: Path) -> list[dict[str, Any]]:
    """Return the results of mutants that were stored as they were judged, sorted by name."""
    from harness.results.schema import wrong_with_judgement

    return _kept((directory / JUDGEMENTS).glob("*.json"), wrong_with_judgement)


def _kept_tests(directory: Path) -> list[dict[str, Any]]:
    """Return the results of tests that were stored as their programs ended, in that order."""
    from harness.results.schema import wrong_with_tests

    found = _kept((directory / TESTS).glob("*.json"), wrong_with_tests)
    return [test for document in found for test in document["tests"]]


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
    """Return whether a file exists, and neither it nor its directory is a symbolic link."""
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run.

    Raises:
        UsageError: the file cannot be read, or is not a JSON object.
    """
    try:
        return read_object(path)
    except ValueError as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def damaged(path: Path, wrong: str) -> UsageError:
    """Return the error for a damaged file of a run."""
    return UsageError(
        f"{path} is damaged: {wrong}", remedy="remove its directory, or name another run"
    )
