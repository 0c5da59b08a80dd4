"""The user's view of a run: standard error, and the terminal if it is one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.cli.progress import LiveRows

if TYPE_CHECKING:
    from harness.bisect.run import Show
    from harness.boot.listen import Terminal
    from harness.cli.app import App
    from harness.debug.plan import PanicDebugger
    from harness.runs.view import Rows


@dataclass(slots=True)
class UserView:
    """See ``harness.runs.view.View``.

    Args:
        app: the user.
        interactive: connect the user's terminal to the guest's console.
        gdb: show gdb at the user's terminal where a panic begins.
    """

    app: App
    interactive: bool = False
    gdb: bool = False

    def rows(self) -> AbstractContextManager[Rows]:
        """See ``View``."""
        return LiveRows(self.app.messages, self.app.clock, verbose=self.app.verbosity > 0)

    def bisection(self, subjects: Mapping[str, str]) -> AbstractContextManager[Show]:
        """See ``View``."""
        from harness.cli.bisectview import BisectView

        return BisectView(self.app.messages, self.app.clock, subjects)

    def terminal(self, rows: Rows) -> Terminal | None:
        """See ``View``.

        Raises:
            UsageError: a terminal is asked for, and there is none.
        """
        if not self.interactive:
            return None
        from harness.cli.terminal import UNFILTERED, HostTerminal

        def announce() -> None:
            if isinstance(rows, LiveRows):
                rows.pause()
            self.note(f"attached to the guest's console, {UNFILTERED}; Ctrl-] detaches")

        return HostTerminal.of_user(announce)

    def debugger(self, rows: Rows) -> PanicDebugger | None:
        """See ``View``."""
        if not self.gdb:
            return None
        from harness.runs.debug import ForegroundDebugger

        def announce() -> None:
            if isinstance(rows, LiveRows):
                rows.pause()
            self.note("the guest has stopped where a panic begins; it runs on when gdb has ended")

        return ForegroundDebugger(self.app, announce, self.note)

    def note(self, line: str) -> None:
        """See ``View``."""
        self.app.messages.say(line)

    def warn(self, message: str) -> None:
        """See ``View``."""
        self.app.warn(message)
