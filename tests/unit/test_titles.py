"""Which of the lines before a panic explain it (``harness.console.titles``)."""

from __future__ import annotations

import pytest

from harness.console.titles import explanation


@pytest.mark.parametrize(
    ("message", "line", "explains"),
    [
        ("Going nowhere without my init!", "init died (signal 6, exit 0)", True),
        ("Going nowhere without my init!", "da0: 40 MB/s transfers", False),
        ("Most recently used by mbuf", "Memory modified after free 0xfffff80006e7d800(248)", True),
        ("mountroot: unable to (re-)mount root.", "mountroot> ", False),
    ],
)
def test_a_line_explains_a_panic_by_a_common_word_but_a_prompt_does_not(
    message: str, line: str, explains: bool
) -> None:
    assert bool(explanation(message, [line], [])) is explains
