"""What a verb tells the person who waits."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Hears of stages and remarks; decides itself whether and how to show them."""

    def stage(self, name: str, log: Path | None = None) -> None:
        """A new stage has begun; the one before has ended.

        Args:
            name: of the stage.
            log: the file that takes its output; None without one.
        """
        ...

    def detail(self, text: str) -> None:
        """How far the stage has come; worth a look, and no line of its own."""
        ...

    def note(self, message: str) -> None:
        """Something worth a line of its own, such as waiting for another harness."""
        ...


class Recorded:
    """Keeps what it is told; for tests, and for callers that show nothing."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str, log: Path | None = None) -> None:
        """See ``Progress``."""
        self.stages.append(name)

    def detail(self, text: str) -> None:
        """See ``Progress``."""

    def note(self, message: str) -> None:
        """See ``Progress``."""
        self.notes.append(message)
