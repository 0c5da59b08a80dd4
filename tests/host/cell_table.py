"""The table of what each fault of the host leads to, command by command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Table:
    """What commands came to under each fault, as it was seen."""

    cells: dict[str, dict[str, str]] = field(default_factory=dict)

    def enter(self, fault: str, command: str, found: str) -> None:
        self.cells.setdefault(fault, {})[command] = found

    def lines(self) -> Iterator[str]:
        """A line for each fault, a column for each command."""
        commands = list(dict.fromkeys(name for row in self.cells.values() for name in row))
        rows = [("fault", {name: name for name in commands}), *self.cells.items()]
        first = max(len(fault) for fault, _ in rows)
        widths = {name: max(len(_cell(row, name)) for _, row in rows) for name in commands}
        for fault, row in rows:
            cells = (_cell(row, name).ljust(widths[name]) for name in commands)
            yield "  ".join([fault.ljust(first), *cells]).rstrip()


def _cell(row: Mapping[str, str], name: str) -> str:
    return row.get(name, "-")
