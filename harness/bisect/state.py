"""What a bisection has found out so far, in one file, so that it can be killed at any moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.bisect.evidence import Kind, Observation
from harness.errors import UsageError
from harness.host.workspace import Workspace, write_atomic
from harness.source.revision import combined_hash

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class State:
    """All that a bisection knows; what it does next follows from it.

    Args:
        asked: what was asked, in JSON's types; another question has another state.
        run: the name of the run's folder.
        started: when its first call began; ISO 8601.
        observations: every test, in order.
        kernels: a digest of each kernel that was built, by revision.
        reads: the sources that the ends' builds read; None as long as that is not known.
    """

    asked: Mapping[str, Any]
    run: str = ""
    started: str = ""
    observations: tuple[Observation, ...] = ()
    kernels: Mapping[str, str] = field(default_factory=dict)
    reads: frozenset[str] | None = None

    def with_observation(self, one: Observation) -> State:
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
            document = json.loads(self.path.read_text("utf-8"))
            return _read(document)
        except FileNotFoundError:
            return State(self._asked)
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.path} is not a state that this version of the harness can go on from: "
                f"{error}",
                remedy="begin anew with --restart",
            ) from error

    def save(self, state: State) -> None:
        """Keep it; whole or not at all.

        Raises:
            InfraError: the disk is full, or the folder not writable.
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


def _read(document: Mapping[str, Any]) -> State:
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']}")
    reads = document["reads"]
    return State(
        asked=document["asked"],
        run=document["run"],
        started=document["started"],
        observations=tuple(map(_observation, document["observations"])),
        kernels=document["kernels"],
        reads=None if reads is None else frozenset(reads),
    )


def _observation(row: Mapping[str, Any]) -> Observation:
    return Observation(**{**row, "kind": Kind(row["kind"]), "titles": tuple(row["titles"])})
