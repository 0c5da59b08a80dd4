"""Untrusted text, escaped for terminals, HTML and XML.

Untrusted is all output of guests, builds and git, all content of trees and records, and all names
of files. Control characters, ANSI and OSC sequences are commands to a terminal; bidirectional
overrides make a line look like another one.
"""

from __future__ import annotations

from typing import Final

_KEPT: Final = "\n\t"


def printable(line: str) -> str:
    """Return a line with control and format characters replaced by U+FFFD."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def printable_text(text: str) -> str:
    """Return a text with control and format characters replaced, except newlines and tabs."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _KEPT else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )
