"""The table of what each fault of the host leads to, command by command."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tallies import CELL


@dataclass(slots=True)
class Table:
    """Enters what a command came to under a fault into the test's report.

    Args:
        title: of the table.
        item: the test.
    """

    title: str
    item: pytest.Item

    def enter(self, fault: str, command: str, found: str) -> None:
        self.item.user_properties.append((CELL, [self.title, fault, command, found]))
