"""Masks for functions that no parser of C reads before the preprocessor has run.

A mask replaces what is no C by C or by blanks, byte for byte, so that offsets stay those of the
file. It is for finding places in a function only: the masked text is never compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.cedit.csource import (
    CONDITIONAL,
    Function,
    Mask,
    closing,
    lexemes_and_directives,
    read_function,
)

_KEYWORDS: Final = frozenset(
    {b"if", b"while", b"for", b"switch", b"return", b"sizeof", b"do", b"else", b"case", b"goto"}
)
#: What precedes a statement.
_BEFORE: Final = frozenset({b"{", b"}", b";", b")", b"else", b":"})
_WORD: Final = re.compile(rb"[A-Za-z_]\w*|\{")
_LOOP: Final = b"while"


def read_masked(text: bytes, name: str) -> Function:
    """Return the only definition of a function, masked if it cannot be parsed otherwise.

    Raises:
        Mismatch: as ``read_function``, if no mask makes it C.
    """
    return read_function(text, name, MASKS)


def loops_masked(body: bytes) -> bytes:
    """Return a body in which macros that begin a loop (queue(3), smp(9)) are ``while``.

    Such a macro is a call where a statement may begin, with another statement behind it.
    """
    found = [match for match in lexemes_and_directives(body) if match.lastgroup == "token"]
    masked = bytearray(body)
    for place in range(1, len(found) - 2):
        name, opening = found[place], found[place + 1].group()
        if name.group() in _KEYWORDS or opening != b"(" or not _WORD.fullmatch(name.group()):
            continue
        if found[place - 1].group() not in _BEFORE or len(name.group()) < len(_LOOP):
            continue
        after = closing(found, place + 1) + 1
        if after < len(found) and _WORD.fullmatch(found[after].group()):
            masked[name.start() : name.end()] = _LOOP.ljust(len(name.group()))
    return bytes(masked)


@dataclass(slots=True)
class _Conditional:
    """One ``#if`` up to its ``#endif``: the ranges of its directives and arms."""

    directives: list[tuple[int, int]] = field(default_factory=list)

    def arms(self) -> list[tuple[int, int]]:
        """Return the range of each arm."""
        pairs = zip(self.directives, self.directives[1:], strict=False)
        return [(before[1], after[0]) for before, after in pairs]


def _conditionals(body: bytes) -> Iterator[_Conditional]:
    open_ones: list[_Conditional] = []
    for match in lexemes_and_directives(body):
        word = CONDITIONAL.match(match.group()) if match.lastgroup == "directive" else None
        if word is None:
            continue
        if word[1].startswith(b"if"):
            open_ones.append(_Conditional())
        if not open_ones:
            return
        open_ones[-1].directives.append(match.span())
        if word[1] == b"endif":
            yield open_ones.pop()


def _one_arm(choose: Callable[[int], int | None]) -> Mask:
    """Return a mask that keeps one arm of each conditional.

    Args:
        choose: returns the place of the arm, of so many, or None for no arm.
    """

    def mask(body: bytes) -> bytes:
        masked = bytearray(loops_masked(body))
        for conditional in _conditionals(body):
            arms = conditional.arms()
            kept = choose(len(arms))
            dropped = [arm for place, arm in enumerate(arms) if place != kept]
            for start, end in (*conditional.directives, *dropped):
                masked[start:end] = re.sub(rb"[^\n]", b" ", bytes(masked[start:end]))
        return bytes(masked)

    return mask


MASKS: Final[Sequence[Mask]] = (
    loops_masked,
    _one_arm(lambda arms: 0),
    _one_arm(lambda arms: arms - 1),
    _one_arm(lambda arms: arms - 1 if arms > 1 else None),
)
"""From the one that changes least: conditionals with all code in their first arms, or in their last
ones; at last without code that has no other arm."""
