"""Live progress: a line for each kernel and guest, with stage and elapsed time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from harness.cli.messages import Messages
    from harness.host.clock import Clock
    from harness.host.progress import Progress


@dataclass(slots=True)
class _Row:
    stage: str
    started: float
    stage_started: float
    detail: str = ""
    ended: float | None = None
    outcome: str = ""
    good: bool = True
    stages: list[tuple[str, float]] = field(default_factory=list)


class LiveView:
    """A table that is redrawn on a terminal within the context.

    Args:
        messages: standard error.
        table: returns the current table, for a number of lines.
    """

    def __init__(self, messages: Messages, table: Callable[[int], Table]) -> None:
        self._messages = messages
        self._what = table
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._messages.is_terminal:
            from rich.live import Live

            console = self._messages.console()
            self._live = Live(
                console=console,
                get_renderable=lambda: self._what(console.height),
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pause()

    @property
    def is_drawn(self) -> bool:
        """Whether it is redrawn on a terminal."""
        return self._live is not None and self._live.is_started

    def pause(self) -> None:
        """Stop redrawing, so that the terminal can be used otherwise."""
        if self._live is not None:
            self._live.stop()

    def say(self, line: str, style: str = "") -> None:
        """Print a line above the table; ``style`` is rich's."""
        if self._live is not None and self.is_drawn:
            from rich.text import Text

            self._live.console.print(Text(line, style), soft_wrap=True)
        else:
            self._messages.say(line)


class LiveRows(LiveView):
    """A live table on a terminal; elsewhere a line for each kernel and guest that ended."""

    def __init__(self, messages: Messages, clock: Clock, *, verbose: bool) -> None:
        self._clock = clock
        self._verbose = verbose
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()
        super().__init__(messages, self._table)

    def row(self, name: str) -> Progress:
        """See ``harness.runs.view.Rows``."""
        now = self._clock.monotonic()
        with self._lock:
            self._rows[name] = _Row("", now, now)
        return _RowProgress(self, name)

    def done(self, name: str, outcome: str, *, good: bool) -> None:
        """See ``harness.runs.view.Rows``."""
        self._end(name, outcome, good=good)

    def failed(self, name: str, error: BaseException) -> None:
        """See ``harness.runs.view.Rows``."""
        self._end(name, "failed" if isinstance(error, Exception) else "interrupted", good=False)

    def _end(self, name: str, outcome: str, *, good: bool) -> None:
        with self._lock:
            row = self._rows[name]
            row.ended = self._clock.monotonic()
            row.outcome, row.good = outcome, good
        if not self.is_drawn:
            self.say(f"{name}: {outcome} ({row.ended - row.started:.1f} s)")

    def stage(self, name: str, stage: str, log: Path | None = None) -> None:
        """Note that a row entered ``stage``, whose output is written to ``log``."""
        now = self._clock.monotonic()
        with self._lock:
            row = self._rows[name]
            row.stage, row.stage_started, row.detail = stage, now, ""
        # Without a terminal, only stages with a log are printed, which take minutes.
        if (self._verbose or log is not None) and not self.is_drawn:
            where = f", log {log}" if log is not None else ""
            self.say(f"{name}: {stage} at {now - row.started:.1f} s{where}")

    def detail(self, name: str, text: str) -> None:
        """Update the progress of a row in its stage."""
        with self._lock:
            self._rows[name].detail = text

    def note(self, message: str) -> None:
        """Print a line above the table."""
        self.say(message)

    def _table(self, height: int) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False)
        now = self._clock.monotonic()
        with self._lock:
            # The newest rows fit on the screen; the others have ended.
            newest = list(self._rows.items())[-max(height - 2, 1) :]
            for name, row in newest:
                if row.ended is None:
                    words = [row.stage, row.detail, f"{now - row.stage_started:.0f} s"]
                    state = Text(" ".join(word for word in words if word), "cyan")
                else:
                    state = Text(row.outcome, "green" if row.good else "red")
                total = (row.ended or now) - row.started
                table.add_row(name, state, f"{total:.0f} s")
        return table


@dataclass(frozen=True, slots=True)
class _RowProgress:
    rows: LiveRows
    name: str

    def stage(self, name: str, log: Path | None = None) -> None:
        self.rows.stage(self.name, name, log)

    def detail(self, text: str) -> None:
        self.rows.detail(self.name, text)

    def note(self, message: str) -> None:
        self.rows.note(message)
