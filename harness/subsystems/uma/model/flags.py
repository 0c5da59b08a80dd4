"""``M_*`` flags of ``malloc(9)`` and ``uma(9)`` that matter to slabs (``sys/sys/malloc.h``)."""

from __future__ import annotations

from enum import IntFlag
from typing import Final

from harness.errors import UsageError

M_NOWAIT: Final = 0x0001
M_WAITOK: Final = 0x0002
M_NOVM: Final = 0x0200
M_USE_RESERVE: Final = 0x0400

UMA_ANYDOMAIN: Final = -1


class _Named(IntFlag):
    M_NOWAIT = M_NOWAIT
    M_WAITOK = M_WAITOK
    M_NOVM = M_NOVM
    M_USE_RESERVE = M_USE_RESERVE


def flags_in_words(flags: int) -> str:
    """``M_NOWAIT|M_NOVM``, as in C."""
    return "|".join(flag.name or "" for flag in _Named(flags)) or "0"


def parse_flags(text: str) -> int:
    """Return the flags of a text in C's notation.

    Raises:
        UsageError: the model does not know a flag.
    """
    flags = 0
    for word in text.split("|"):
        if word not in _Named.__members__:
            raise UsageError(
                f"the model knows no flag {word!r}",
                remedy=f"known: {', '.join(_Named.__members__)}",
            )
        flags |= _Named[word]
    return flags


class KernelAssertion(UsageError):  # noqa: N818 - named after what the kernel does
    """A failed assertion: a kernel with INVARIANTS panics.

    Args:
        where: the kernel's function.
        what: the assertion's message.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"the kernel asserts against this: {where}: {what}",
            remedy="leave the operation out: no caller may do it",
        )
        self.where = where
