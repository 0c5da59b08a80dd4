"""Output of rich: its own control sequences, and escaped text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from harness.cli.streams import unfiltered
from harness.printable import printable_text

_PADDING = re.compile(r" +(?=\n)")


class SafeConsole(Console):
    """A rich console on standard output or standard error, which escapes text.

    Args:
        quiet: whether to print nothing.
        stderr: whether to use standard error.
        width: the width in columns; None: the terminal's.
    """

    def __init__(self, *, quiet: bool, stderr: bool = False, width: int | None = None) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(
            file=unfiltered(stream), quiet=quiet, width=width, highlight=False, emoji=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the segments to print, escaped."""
        segments = map(_printable, super().render(renderable, options))
        return segments if self.is_terminal else _without_padding(segments)


def _printable(segment: Segment) -> Segment:
    if segment.control:
        return segment
    return Segment(printable_text(segment.text), segment.style)


def _without_padding(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Generate the segments without padding at the ends of lines."""
    held = ""
    for segment in segments:
        if segment.control:
            yield segment
            continue
        text = _PADDING.sub("", held + segment.text)
        body = text.rstrip(" ")
        held = text[len(body) :]
        if body:  # an empty segment would start another line
            yield Segment(body, segment.style)
    if held:
        yield Segment(held)
