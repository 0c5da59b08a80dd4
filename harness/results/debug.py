"""What debuggers found in a failed guest, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness.host.cachesize import format_size
from harness.results.verification import CONSOLE_INDENT

_MOST_LINES: Final = 12
"""Lines of each command's output in a short report."""


def debug_lines(cell: Mapping[str, Any], *, whole: bool = False) -> list[str]:
    """Return the answers of DDB, gdb's output and the memory dump.

    Args:
        cell: ``Cell`` as a JSON document; older records have none of them.
        whole: include all lines of each command.
    """
    found = cell.get("debug")
    if found is None:
        return []
    most = None if whole else _MOST_LINES
    return [*_gdb(found["gdb"], most), *_ddb(found["ddb"], most), *_dump(found["dump"])]


def _gdb(session: Mapping[str, Any] | None, most: int | None) -> Iterator[str]:
    if session is None:
        return
    if session["note"]:
        yield f"gdb: {session['note']}"
    elif session["output"]:
        yield "gdb where the panic began:"
        yield from _shortened(session["output"].splitlines(), most)


def _ddb(session: Mapping[str, Any] | None, most: int | None) -> Iterator[str]:
    if session is None:
        return
    for answer in session["answers"]:
        yield f"db> {answer['command']}"
        yield from _shortened(answer["output"].splitlines(), most)
        if answer["note"]:
            yield f"{CONSOLE_INDENT}({answer['note']})"
    if session["note"]:
        yield f"ddb: {session['note']}"


def _dump(dump: Mapping[str, Any] | None) -> Iterator[str]:
    if dump is None:
        return
    if dump["file"]:
        sizes = f"{format_size(dump['bytes'])}, {format_size(dump['disk'])} on disk"
        yield f"memory dump: {dump['file']} ({sizes}); to open it: harness gdb"
    if dump["note"]:
        yield f"memory dump: {dump['note']}"


def _shortened(lines: Sequence[str], most: int | None) -> Iterator[str]:
    shown = lines if most is None or len(lines) <= most + 1 else lines[:most]
    for line in shown:
        yield f"{CONSOLE_INDENT}{line}"
    if len(shown) < len(lines):
        yield f"{CONSOLE_INDENT}… {len(lines) - len(shown)} more lines: harness report -v"
