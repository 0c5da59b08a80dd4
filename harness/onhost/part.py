"""A subsystem's part of the host program."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cedit.mutations import Exchanges

#: Returns the text of a file of the tree; None if it does not exist.
ReadFile = Callable[[str], str | None]


def _no_flags(read: ReadFile) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class HostPart:
    """A subsystem's part of the program.

    Args:
        name: name of the subsystem.
        follows: files of the tree that are compiled unmodified.
        module: sources of its part of the check module, which the host program shares.
        sources: sources for the host program only.
        shimmed: what those replace, for the record.
        flags: compiler flags for its sources, from the tree.
        functions: names of the functions that its checks follow, by file: those of which mutants
            are generated. Of parts that follow the same function, the first of the table has it.
        exchanges: words that these mutants exchange, such as flags.
    """

    name: str
    follows: tuple[str, ...]
    module: tuple[Path, ...]
    sources: tuple[Path, ...]
    shimmed: tuple[str, ...] = ()
    flags: Callable[[ReadFile], Sequence[str]] = _no_flags
    functions: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    exchanges: Exchanges = field(default_factory=dict)

    def has_function(self, path: str, name: str) -> bool:
        """Return whether its checks follow a function of a file."""
        names = self.functions.get(path)
        return names is not None and names.fullmatch(name) is not None
