"""The state of a bisection, saved in one file, so that the harness can be killed at any time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec

from harness.bisect.evidence import RevisionTest
from harness.errors import UsageError
from harness.host.jsontoml import read_object
from harness.host.tables import Complaint, Table, read_table
from harness.host.workspace import Workspace, write_atomic
from harness.source.revision import combined_hash

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class State:
    """The complete state of a bisection; the next step follows from it.

    Args:
        asked: the question in JSON types; another question has another state.
        run: name of the run's directory.
        started: start of its first command, ISO 8601.
        observations: every test, in order.
        kernels: digests of the built kernels by revision.
        reads: the sources that the ends' builds read; None if not known yet.
    """

    asked: Mapping[str, Any]
    run: str = ""
    started: str = ""
    observations: tuple[RevisionTest, ...] = ()
    kernels: Mapping[str, str] = field(default_factory=dict)
    reads: frozenset[str] | None = None

    def with_observation(self, one: RevisionTest) -> State:
        """Return the state after one more test."""
        return replace(self, observations=(*self.observations, one))

    def with_kernel(self, commit: str, digest: str) -> State:
        """Return the state after one more build."""
        return replace(self, kernels={**self.kernels, commit: digest})


class StateFile:
    """The file with the state of one question."""

    def __init__(self, workspace: Workspace, asked: Mapping[str, Any]) -> None:
        self._asked = asked
        self.key = combined_hash((json.dumps(asked, sort_keys=True, default=str),))[:16]
        self.path = workspace.state / "bisect" / f"{self.key}.json"

    def load(self) -> State:
        """Return the saved state, or that of a new bisection.

        Raises:
            UsageError: the file is damaged.
        """
        try:
            return _read(read_object(self.path), self._asked)
        except FileNotFoundError:
            return State(self._asked)
        except (ValueError, OSError) as error:
            raise UsageError(
                f"{self.path} is not a state that this version of the harness can resume: {error}",
                remedy="start over with --restart",
            ) from error

    def save(self, state: State) -> None:
        """Save the state atomically.

        Raises:
            InfraError: the disk is full, or the directory not writable.
        """
        document = {
            "schema": SCHEMA,
            "asked": state.asked,
            "run": state.run,
            "started": state.started,
            "kernels": state.kernels,
            "reads": None if state.reads is None else sorted(state.reads),
            "observations": [asdict(one) for one in state.observations],
        }
        write_atomic(self.path, json.dumps(document, default=str) + "\n")

    def forget(self) -> None:
        """Remove the file if it exists."""
        self.path.unlink(missing_ok=True)


class _File(Table, frozen=True):
    """The file's keys."""

    schema: Literal[1]
    asked: dict[str, Any]
    run: Annotated[str, msgspec.Meta(pattern=r"\A(?:[A-Za-z0-9][A-Za-z0-9._-]*)?\Z")]
    started: str
    kernels: dict[str, str]
    reads: frozenset[str] | None
    observations: tuple[RevisionTest, ...]


def _read(document: dict[str, Any], asked: Mapping[str, Any]) -> State:
    """Parse the file; raise ValueError if ``save`` did not write it for that question."""
    try:
        file = read_table(document, _File)
    except Complaint as complaint:
        raise ValueError(f"{complaint.key}: {complaint.what}") from None
    if any("/" in one.cell or one.cell.startswith(".") for one in file.observations):
        raise ValueError("observations: a cell names another directory")
    if file.asked != json.loads(json.dumps(asked, default=str)):
        raise ValueError("asked: it is the state of another question")
    return State(file.asked, file.run, file.started, file.observations, file.kernels, file.reads)
