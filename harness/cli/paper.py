"""What rich draws: its own control sequences, and of everything else the printable characters."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from harness.cli.streams import unfiltered
from harness.printable import printable_text


class Paper(Console):
    """A console of rich on standard output or standard error.

    Args:
        quiet: draw nothing.
        stderr: on standard error.
        width: columns; None for the terminal's.
    """

    def __init__(self, *, quiet: bool, stderr: bool = False, width: int | None = None) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(
            file=unfiltered(stream), quiet=quiet, width=width, highlight=False, emoji=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See ``rich.console.Console``: all that is drawn comes through here."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable_text(segment.text), segment.style)
