"""Progress and warnings, on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def terminal_width() -> int | None:
    """Return the columns of standard error's terminal; None if it is none, or has no size."""
    if not sys.stderr.isatty():
        return None
    with contextlib.suppress(OSError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or None
    return None


@dataclass(frozen=True, slots=True)
class Messages:
    """Standard error.

    If it is not a terminal, lines are written without rich, whose import would delay a boot.

    Args:
        quiet: whether to print nothing.
    """

    quiet: bool

    @property
    def is_terminal(self) -> bool:
        """Whether standard error is a terminal that can be redrawn."""
        return not self.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def console(self) -> Console:
        """Return a rich console on standard error."""
        from harness.cli.safeconsole import SafeConsole

        return SafeConsole(stderr=True, quiet=self.quiet)

    def say(self, line: str) -> None:
        """Print a line."""
        if not self.quiet:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def fail(self, text: str) -> None:
        """Print an error, ``quiet`` or not.

        Args:
            text: its lines, each with its end.
        """
        sys.stderr.write(text)
        sys.stderr.flush()

    def warn(self, message: str) -> None:
        """Print a warning."""
        if not self.is_terminal:
            self.say(f"warning: {message}")
            return
        from rich.markup import escape

        self.console().print(f"[yellow]warning:[/] {escape(message)}")
