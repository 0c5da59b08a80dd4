"""What a bisection has found out so far, in one file, so that it can be killed at any moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec

from harness.bisect.evidence import RevisionTest
from harness.errors import UsageError
from harness.host.documents import read_object
from harness.host.tables import Complaint, Table, read_table
from harness.host.workspace import Workspace, write_atomic
from harness.source.revision import combined_hash

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class State:
    """All that a bisection knows; what it does next follows from it.

    Args:
        asked: what was asked, in JSON's types; another question has another state.
        run: the name of the run's directory.
        started: when its first call began; ISO 8601.
        observations: every test, in order.
        kernels: a digest of each kernel that was built, by revision.
        reads: the sources that the ends' builds read; None as long as that is not known.
    """

    asked: Mapping[str, Any]
    run: str = ""
    started: str = ""
    observations: tuple[RevisionTest, ...] = ()
    kernels: Mapping[str, str] = field(default_factory=dict)
    reads: frozenset[str] | None = None

    def with_observation(self, one: RevisionTest) -> State:
        """After one more test."""
        return replace(self, observations=(*self.observations, one))

    def with_kernel(self, commit: str, digest: str) -> State:
        """After one more build."""
        return replace(self, kernels={**self.kernels, commit: digest})


class StateFile:
    """Where the state of one question is kept."""

    def __init__(self, workspace: Workspace, asked: Mapping[str, Any]) -> None:
        self._asked = asked
        self.key = combined_hash((json.dumps(asked, sort_keys=True, default=str),))[:16]
        self.path = workspace.state / "bisect" / f"{self.key}.json"

    def load(self) -> State:
        """The state; that of a new bisection if there is none.

        Raises:
            UsageError: the file is damaged.
        """
        try:
            return _read(read_object(self.path), self._asked)
        except FileNotFoundError:
            return State(self._asked)
        except (ValueError, OSError) as error:
            raise UsageError(
                f"{self.path} is not a state that this version of the harness can go on from: "
                f"{error}",
                remedy="begin anew with --restart",
            ) from error

    def save(self, state: State) -> None:
        """Keep it; whole or not at all.

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
        write_atomic(self.path, json.dumps(document, indent=1, default=str) + "\n")

    def forget(self) -> None:
        """Remove it; no harm if there is none."""
        self.path.unlink(missing_ok=True)


class _File(Table, frozen=True):
    """The file, by its keys."""

    schema: Literal[1]
    asked: dict[str, Any]
    run: Annotated[str, msgspec.Meta(pattern=r"\A(?:[A-Za-z0-9][A-Za-z0-9._-]*)?\Z")]
    started: str
    kernels: dict[str, str]
    reads: frozenset[str] | None
    observations: tuple[RevisionTest, ...]


def _read(document: dict[str, Any], asked: Mapping[str, Any]) -> State:
    """Raises ValueError: it is not what ``save`` has written for that question."""
    try:
        file = read_table(document, _File)
    except Complaint as complaint:
        raise ValueError(f"{complaint.key}: {complaint.what}") from None
    if any("/" in one.cell or one.cell.startswith(".") for one in file.observations):
        raise ValueError("observations: a cell names another directory")
    if file.asked != json.loads(json.dumps(asked, default=str)):
        raise ValueError("asked: it is the state of another question")
    return State(file.asked, file.run, file.started, file.observations, file.kernels, file.reads)
