"""The golden consoles: raw bytes behind a header that says what is expected of them.

The header's lines begin with ``#: `` and are TOML; the console's bytes follow. ``until``,
``ending`` and ``first_stage`` are given, the rest is the verdict's; ``why`` is for readers.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.boot.logs import first_stage_of
from harness.console.events import Event
from harness.console.parser import ConsoleParser
from harness.console.stages import Stage
from harness.outcome import Ending, Until
from harness.verdict import Verdict, judge

HERE = Path(__file__).parent
MARK = b"#: "
GIVEN = ("why", "until", "ending", "first_stage")


@dataclass(frozen=True, slots=True)
class Golden:
    """A golden console: its header, and its bytes without it."""

    path: Path
    header: Mapping[str, Any]
    data: bytes

    @property
    def events_path(self) -> Path:
        """Where its expected events are."""
        return self.path.with_suffix(".events")

    def stride(self, *, long: bool) -> int:
        """Bytes between two cuts of it; with ``--long`` a real console is cut at each.

        Each cut is read to the end, so that the cost grows with the square of the length.
        """
        if long:
            return 1 if self.path.name[0].isdigit() else 17
        return max(17, len(self.data) // 60)

    def verdict(self, events: Sequence[Event]) -> Verdict:
        """The verdict on it, under the circumstances that its header gives."""
        first = self.header.get("first_stage")
        return judge(
            events,
            Ending(self.header.get("ending", Ending.EXITED)),
            Until(self.header.get("until", Until.MOUNTROOT)),
            first_stage=Stage(first) if first else first_stage_of(events),
            login_suffices=True,
        )

    def rewrite(self, verdict: Verdict) -> None:
        """Write the verdict as the expected one."""
        given = {key: self.header[key] for key in GIVEN if key in self.header}
        lines = [f"{key} = {_toml(value)}" for key, value in {**given, **told(verdict)}.items()]
        header = b"".join(MARK + line.encode() + b"\n" for line in lines)
        self.path.write_bytes(header + self.data)


def told(verdict: Verdict) -> dict[str, Any]:
    """What a header says of a verdict."""
    return {
        "outcome": verdict.outcome.value,
        "title": verdict.title,
        "stage": verdict.stage.value,
        "kernel_entered": verdict.kernel_entered,
        "frames": [frame.function for frame in verdict.frames],
        "titles": list(verdict.titles),
        "warnings": list(verdict.warnings),
        **({"reports": list(verdict.reports)} if verdict.reports else {}),
    }


def read_golden(path: Path) -> Golden:
    """A golden console from its file."""
    raw = path.read_bytes()
    lines = []
    while raw.startswith(MARK):
        line, _, raw = raw.partition(b"\n")
        lines.append(line.removeprefix(MARK).decode())
    return Golden(path, tomllib.loads("\n".join(lines)), raw)


def read_at_once(data: bytes) -> list[Event]:
    """All events of a console."""
    parser = ConsoleParser()
    return parser.feed(data) + parser.close()


def event_fields(event: Event) -> str:
    """The fields of an event but its offset, as text."""
    fields = (f for f in msgspec.structs.fields(event) if f.name != "offset")
    return " ".join(f"{field.name}={getattr(event, field.name)!r}" for field in fields)


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


CONSOLES = [read_golden(path) for path in sorted(HERE.glob("*.console"))]
NAMES = [golden.path.stem for golden in CONSOLES]
