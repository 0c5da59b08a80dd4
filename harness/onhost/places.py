"""The lines of source code of a host program's addresses, from its own line tables."""

from __future__ import annotations

import bisect
import functools
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: Of rows that end a sequence: no line.
_END: Final = ("", 0)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of source code.

    Args:
        file: its path in the tree, or for a source of the harness, where it was compiled.
        line: its number, from 1.
        text: its text; empty if the file is not kept beside the program.
    """

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def digest_in(self, function: str) -> str:
        """Return a digest of the text and of its function; empty without a text.

        Blanks and the line's number do not change it.
        """
        if not self.text:
            return ""
        words = "\0".join((function, "".join(self.text.split())))
        return hashlib.sha256(words.encode()).hexdigest()[:12]


class Places:
    """Reads a program's line tables when the first place is asked for.

    Args:
        program: the program's file; without line tables, no place is known.
    """

    def __init__(self, program: Path) -> None:
        self._program = program

    def of(self, address: int) -> Place | None:
        """Return the line whose code has an address; None if it is not known."""
        starts, lines = self._table
        place = bisect.bisect_right(starts, address) - 1
        if place < 0 or lines[place] == _END:
            return None
        file, line = lines[place]
        text = self._texts.get(Path(file).name, [])
        return Place(file, line, text[line - 1] if line <= len(text) else "")

    @functools.cached_property
    def _texts(self) -> dict[str, list[str]]:
        """The lines of the tree's files that are kept beside the program, by their names."""
        files = self._program.parent.glob("*.c")
        return {file.name: file.read_text("utf-8", "replace").splitlines() for file in files}

    @functools.cached_property
    def _table(self) -> tuple[list[int], list[tuple[str, int]]]:
        # Slow to import, and only reports of sanitizers have places.
        from elftools.common.exceptions import DWARFError, ELFError
        from elftools.elf.elffile import ELFFile

        try:
            with self._program.open("rb") as stream:
                rows = sorted(_rows(ELFFile(stream)), key=lambda row: row[0])
        except (OSError, ELFError, DWARFError, struct.error, LookupError, ValueError):
            rows = []
        return [row[0] for row in rows], [row[1] for row in rows]


def _rows(program: Any) -> Iterator[tuple[int, tuple[str, int]]]:
    """Yield addresses with the line that begins there, or ``_END``.

    The end of a sequence comes before another one that begins at the same address.
    """
    if not program.has_dwarf_info():
        return
    dwarf = program.get_dwarf_info()
    for unit in dwarf.iter_CUs():
        table = dwarf.line_program_for_CU(unit)
        if table is None:
            continue
        ends, begins = [], []
        for entry in table.get_entries():
            state = entry.state
            if state is None:
                continue
            if state.end_sequence:
                ends.append((state.address, _END))
            else:
                begins.append((state.address, (_path(table, state.file), state.line)))
        yield from ends
        yield from begins


def _path(table: Any, number: int) -> str:
    """Return the path of a file of a line table, as the compiler was told it."""
    files, directories = table["file_entry"], table["include_directory"]
    first = 0 if table["version"] >= 5 else 1
    entry = files[number - first]
    name = str(entry.name.decode("utf-8", "replace"))
    directory = entry.dir_index - first
    if name.startswith("/") or not 0 <= directory < len(directories):
        return name.removeprefix("/")
    return f"{directories[directory].decode('utf-8', 'replace')}/{name}".removeprefix("/")
