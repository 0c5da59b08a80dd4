"""The result of a command in a guest, in words, from its JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def program_in_words(program: Mapping[str, Any]) -> str:
    """Return how a command ended: ``exit status 3``, ``signal KILL``, ``command did not end``."""
    if program["unfinished"]:
        return "command did not end"
    if program["signal"]:
        return f"signal {program['signal']}"
    return f"exit status {program['status']}"


def program_lines(program: Mapping[str, Any]) -> Iterator[str]:
    """Generate the lines on a command that did not end as expected."""
    yield f"command: {program['command']}"
    if program["unfinished"]:
        yield f"it did not end: {program['unfinished']}"
    yield (
        f"{program['stdout']} bytes of standard output, {program['stderr']} of standard error: "
        "stdout.log and stderr.log of the cell"
    )
