"""Lines of text on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.printable import printable

#: Additional indentation of continuation lines on a terminal, and their minimum width.
_CONTINUATION_INDENT, _MIN_WIDTH = "  ", 20


def print_line(console: Console, line: str, style: str = "") -> None:
    """Print a line, escaped. On a terminal it is wrapped between words, and indented further."""
    line = printable(line)
    if not console.is_terminal:
        console.print(Text(line, style), soft_wrap=True)
        return
    body = line.lstrip(" ")
    indent = " " * (len(line) - len(body))
    room = max(_MIN_WIDTH, console.width - len(indent) - len(_CONTINUATION_INDENT))
    for number, part in enumerate(Text(body, style).wrap(console, room)):
        part.rstrip()
        console.print(Text(indent + _CONTINUATION_INDENT * (number > 0)) + part, soft_wrap=True)
