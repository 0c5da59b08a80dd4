"""What a subsystem says of itself as a program of the host, and the program's recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cedit.mutations import Exchanges

#: Gives the text of a file of the tree; None where it has none of that path.
ReadFile = Callable[[str], str | None]


def _no_flags(read: ReadFile) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class HostPart:
    """A subsystem's part of the program.

    Args:
        name: of the subsystem.
        follows: files of the tree that are compiled as they are: what the subsystem is.
        module: sources of its part of the check module, which serve here as well.
        sources: sources of the host's alone.
        shimmed: what those stand for, in words, for the record.
        flags: of the compiler, for its sources; read off the tree.
        functions: those whose generated mutants traces can tell, by their file.
        exchanges: words that these mutants exchange, such as flags.
    """

    name: str
    follows: tuple[str, ...]
    module: tuple[Path, ...]
    sources: tuple[Path, ...]
    shimmed: tuple[str, ...] = ()
    flags: Callable[[ReadFile], Sequence[str]] = _no_flags
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exchanges: Exchanges = field(default_factory=dict)
