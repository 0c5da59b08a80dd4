"""Telling people of progress and remarks, on standard error."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Talk:
    """Standard error.

    Where it is no terminal, lines go there as they are: a boot does not wait for what draws.

    Args:
        quiet: say nothing.
    """

    quiet: bool

    @property
    def is_terminal(self) -> bool:
        """Whether there is a terminal on which lines can be drawn anew."""
        return not self.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def console(self) -> Console:
        """What draws on the terminal."""
        from harness.cli.paper import Paper

        return Paper(stderr=True, quiet=self.quiet)

    def say(self, line: str) -> None:
        """A line, as it is."""
        if not self.quiet:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def warn(self, message: str) -> None:
        """A remark that does not end the command."""
        if not self.is_terminal:
            self.say(f"warning: {message}")
            return
        from rich.markup import escape

        self.console().print(f"[yellow]warning:[/] {escape(message)}")
