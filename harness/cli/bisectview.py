"""Shows a bisection on the terminal: remaining revisions, builds, tests, results."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from harness.bisect.evidence import Mark, RevisionTest
from harness.cli.progress import LiveView
from harness.printable import printable

if TYPE_CHECKING:
    from harness.bisect.search import Outlook
    from harness.cli.messages import Messages
    from harness.host.clock import Clock
    from harness.host.progress import Progress

_STYLES = {Mark.GOOD: "green", Mark.BAD: "red", Mark.SKIP: "yellow", Mark.INFRA: "yellow"}
_SHORT = 12


@dataclass(slots=True)
class _Row:
    """The current build or test of one revision."""

    what: str
    commit: str
    stage: str
    since: float
    detail: str = ""


class BisectView(LiveView):
    """A live view on a terminal; elsewhere a line for each build or test that ended.

    Args:
        messages: standard error.
        clock: measures durations.
        subjects: the first lines of the revisions' messages.
    """

    def __init__(self, messages: Messages, clock: Clock, subjects: Mapping[str, str]) -> None:
        self._clock = clock
        self._subjects = subjects
        self._rows: dict[str, _Row] = {}
        self._ahead = ""
        self._lock = threading.Lock()
        super().__init__(messages, self._table)

    def building(self, commit: str) -> Progress:
        """See ``harness.bisect.run.Show``."""
        return self._begin("build", "build", commit)

    def built(self, commit: str, problem: str) -> None:
        """See ``Show``."""
        self._end("build")
        if problem:
            self.say(f"? {commit[:_SHORT]} {problem}", "yellow")

    def testing(self, commit: str, cell: str) -> Progress:
        """See ``Show``."""
        return self._begin(cell, "test", commit)

    def tested(self, one: RevisionTest, mark: Mark) -> None:
        """See ``Show``."""
        self._end(one.cell)
        told = one.titles[0] if one.titles and mark is not Mark.GOOD else one.outcome
        told = told or one.kind.value
        seconds = one.seconds or one.build_seconds  # only the build was tested
        subject = self._subjects.get(one.commit, "")
        self.say(
            f"{mark.value:5} {one.commit[:_SHORT]} {told} ({seconds:.1f} s)  {subject}",
            _STYLES[mark],
        )

    def ahead(self, outlook: Outlook, seconds: float) -> None:
        """See ``Show``."""
        self._ahead = (
            f"{outlook.left} revisions left, about {outlook.tests} tests, about {duration(seconds)}"
        )
        if not self.is_drawn:
            self.say(self._ahead)

    def say(self, line: str, style: str = "") -> None:
        """Print a line that stays."""
        super().say(printable(line), style)

    def _begin(self, name: str, what: str, commit: str) -> Progress:
        with self._lock:
            self._rows[name] = _Row(what, commit, "", self._clock.monotonic())
        return _RowProgress(self, name)

    def _end(self, name: str) -> None:
        with self._lock:
            self._rows.pop(name, None)

    def stage(self, name: str, stage: str) -> None:
        """Show that a build or test has reached ``stage``."""
        with self._lock:
            row = self._rows.get(name)
            if row is not None:
                row.stage, row.since, row.detail = stage, self._clock.monotonic(), ""

    def detail(self, name: str, text: str) -> None:
        """Show the progress within the stage."""
        with self._lock:
            row = self._rows.get(name)
            if row is not None:
                row.detail = text

    def _table(self, _height: int) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        now = self._clock.monotonic()
        with self._lock:
            for row in self._rows.values():
                state = Text(f"{row.stage} {now - row.since:.0f} s {row.detail}", "cyan")
                table.add_row(f"{row.what} {row.commit[:_SHORT]}", state)
            if self._ahead:
                table.add_row(Text(self._ahead, "bold"))
        return table


@dataclass(frozen=True, slots=True)
class _RowProgress:
    view: BisectView
    row: str

    def stage(self, name: str, log: Path | None = None) -> None:
        self.view.stage(self.row, name)

    def detail(self, text: str) -> None:
        self.view.detail(self.row, text)

    def note(self, message: str) -> None:
        self.view.say(message)


def duration(seconds: float) -> str:
    """Return a duration as text: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
