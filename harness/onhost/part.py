"""A subsystem's part of host programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """A subsystem's part of host programs.

    Args:
        name: name of the subsystem.
        follows: files of the tree that are compiled unmodified.
        module: sources of its part of the check module, which host programs share.
        sources: sources for host programs only.
        shimmed: what these sources replace, for the record.
        flags: compiler flags for its sources, from the tree.
        functions: names of the functions that its checks follow, by file; mutants are generated of
            these. A function that several parts follow belongs to the first of them in the table.
        exchanges: words that these mutants exchange, such as flags.
        reasons: file with the reasons why some of these mutants survive; see
            ``harness.mutation.reasons``.
        kept: macros that the tree's headers of the machine define only without KASAN, and that host
            programs with KASAN have as well: their shadow is of all memory.
        races: file with the accesses that are made without a lock on purpose; see
            ``harness.onhost.intended``.
    """

    name: str
    follows: tuple[str, ...]
    module: tuple[Path, ...]
    sources: tuple[Path, ...]
    shimmed: tuple[str, ...] = ()
    flags: Callable[[ReadFile], Sequence[str]] = _no_flags
    functions: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    exchanges: Exchanges = field(default_factory=dict)
    reasons: Path | None = None
    kept: tuple[str, ...] = ()
    races: Path | None = None

    def has_function(self, path: str, name: str) -> bool:
        """Return whether its checks follow a function of a file."""
        names = self.functions.get(path)
        return names is not None and names.fullmatch(name) is not None


def owner_of(parts: Iterable[HostPart], path: str, function: str) -> HostPart | None:
    """Return the first part that follows a function of a file, whose mutants it has; None: none."""
    return next((part for part in parts if part.has_function(path, function)), None)
