"""A host's ledger of cores and memory, for all harnesses on it.

Each harness enters what its guests take. Those that a worker starts wait until theirs fit beside
what is entered; those that a user starts do not wait. Entries of processes that have ended do not
count.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.host.processid import ProcessId
from harness.host.workspace import make_directory, unique, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from harness.host.clock import Clock
    from harness.host.workspace import Workspace

#: Seconds between looks at the entries of other processes.
_TICK: Final = 0.25


def usual_name() -> str:
    """Return the name of the ledger of harnesses that name none."""
    return platform.node() or "host"


@dataclass(frozen=True, slots=True)
class Room:
    """Cores and memory.

    Args:
        cores: cores; may be a fraction.
        memory: bytes.
    """

    cores: float
    memory: int

    def holds(self, taken: Room, more: Room) -> bool:
        """Return whether something fits beside what is taken."""
        # A sum of fractions is not exact.
        cores = taken.cores + more.cores <= self.cores + 1e-9
        return cores and taken.memory + more.memory <= self.memory


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one harness takes; see ``Room``.

    Args:
        id: identifies it.
        process: the harness.
        whole: whether it is all that its process takes.
    """

    id: str
    process: ProcessId
    cores: float
    memory: int
    whole: bool

    @classmethod
    def of(cls, document: dict[str, Any]) -> _Entry:
        process = ProcessId(**document.pop("process"))
        return cls(process=process, **document)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger.

    Args:
        workspace: of the user whose harnesses it counts.
        name: its name.
    """

    workspace: Workspace
    name: str

    @contextlib.contextmanager
    def noted(self, room: Room) -> Iterator[None]:
        """Enter what this process takes within the context, beside what it has entered already.

        A process that has reserved all that it takes enters nothing more.
        """
        entry = self._entry(room, whole=False)

        def add(entries: list[_Entry]) -> bool:
            if not any(each.whole and each.process == entry.process for each in entries):
                entries.append(entry)
            return True

        with self._removed(entry):
            self._changed(add)
            yield

    @contextlib.contextmanager
    def reserved(self, room: Room, most: Room, clock: Clock) -> Iterator[None]:
        """Wait until there is room, and keep it within the context.

        Args:
            room: what this process takes.
            most: what all may take together; what nothing else runs beside is always admitted.
            clock: waits.
        """
        entry = self._entry(room, whole=True)

        def add(entries: list[_Entry]) -> bool:
            taken = Room(
                sum(each.cores for each in entries), sum(each.memory for each in entries)
            )  # fmt: skip
            fits = not entries or most.holds(taken, room)
            if fits:
                entries.append(entry)
            return fits

        with self._removed(entry):
            while not self._changed(add):
                clock.sleep(_TICK)
            yield

    @contextlib.contextmanager
    def _removed(self, entry: _Entry) -> Iterator[None]:
        """Remove an entry at the end of the context."""

        def remove(entries: list[_Entry]) -> bool:
            entries[:] = [each for each in entries if each.id != entry.id]
            return True

        try:
            yield
        finally:
            self._changed(remove)

    @staticmethod
    def _entry(room: Room, *, whole: bool) -> _Entry:
        process = ProcessId.of(os.getpid()) or ProcessId(os.getpid(), 0, "")
        return _Entry(unique(), process, room.cores, room.memory, whole)

    def _changed(self, change: Callable[[list[_Entry]], bool]) -> bool:
        """Change the entries of processes that run; return what the change returns."""
        with self.workspace.lock(f"ledger-{self.name}"):
            entries = [each for each in self._read() if each.process.alive]
            done = change(entries)
            text = json.dumps([asdict(each) for each in entries])
            write_atomic(self._file, text, synced=False)
        return done

    @property
    def _file(self) -> Path:
        directory = self.workspace.cache / "ledgers"
        make_directory(directory)
        return directory / f"{self.name}.json"

    def _read(self) -> list[_Entry]:
        """Return the entries; none if the file is missing or damaged."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            return [_Entry.of(each) for each in json.loads(self._file.read_text("utf-8"))]
        return []
