"""Foreign text as characters that a terminal, a browser or an XML reader only shows.

Foreign is all that a guest, a build, a tree, a record or a git log says, and every name of a file.
A terminal obeys control characters, ANSI and OSC sequences; bidirectional overrides make a line
look like another.
"""

from __future__ import annotations

from typing import Final

_KEPT: Final = "\n\t"


def printable(line: str) -> str:
    """A line without control and format characters; each is a replacement character then."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def printable_text(text: str) -> str:
    """The same of several lines, which stay lines; tabs stay as well."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _KEPT else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )
