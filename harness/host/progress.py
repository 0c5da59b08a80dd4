"""Progress and warnings of long operations."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Receives the stages and notes of an operation, and shows them or not."""

    def stage(self, name: str, log: Path | None = None) -> None:
        """Start a stage, and end the one before.

        Args:
            name: name of the stage.
            log: the log of its output, or None.
        """
        ...

    def detail(self, text: str) -> None:
        """Update the progress of the current stage, which is not worth a line of its own."""
        ...

    def note(self, message: str) -> None:
        """Add a line of its own, such as that another harness is waited for."""
        ...


class Recorded:
    """Keeps stages and notes, for tests and for callers that show nothing."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str, log: Path | None = None) -> None:
        """Append the stage's name to ``stages``."""
        self.stages.append(name)

    def detail(self, text: str) -> None:
        """Ignore the text."""

    def note(self, message: str) -> None:
        """Append the message to ``notes``."""
        self.notes.append(message)
