"""How a host program ended: by its own last words, or by what the host says of it."""

from __future__ import annotations

import bisect
import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from harness.check.protocol import Nonsense
from harness.check.result import Conclusion

if TYPE_CHECKING:
    from harness.onhost.symboltable import Symbol

_LAST_WORDS: Final = re.compile(
    r"!end ([a-z]{1,20}) frames=((?:[0-9a-f]{1,16}(?:,[0-9a-f]{1,16}){0,63})?) (.*)", re.ASCII
)
#: bwrap(1) and shells tell of a signal so.
_SIGNALLED: Final = 128
_MOST_FRAMES: Final = 8
_LONGEST_FUNCTION: Final = 1 << 20


class EndingKind(StrEnum):
    """What ended a program."""

    PANIC = "panic"
    """the kernel's own assertion or panic, or its rule of a lock"""
    INVARIANT = "invariant"
    """what no kernel may do, though nothing in it looks"""
    ASLEEP = "asleep"
    """a thread sleeps, and nobody is there to wake it"""
    TRAP = "trap"
    """what nothing defines was called or read: a limit of the program's"""
    SIGNAL = "signal"
    """a signal of the host's"""
    LOOP = "loop"
    """one operation has taken seconds of CPU time, or does not end"""
    EXHAUSTED = "exhausted"
    """the program's own memory has run out"""
    MEMORY = "memory"
    """it has taken more of the host's memory than it may"""
    EXITED = "exited"
    """it ended by itself, without a word"""


#: Those that say something of the tree's code; others are limits of the program or the host.
FINDINGS: Final = frozenset({EndingKind.PANIC, EndingKind.INVARIANT, EndingKind.ASLEEP})


@dataclass(frozen=True, slots=True)
class HostEnding:
    """How a program ended.

    Args:
        kind: what ended it.
        text: what it says: the panic's message, the symbol, the signal.
        frames: the functions that were running, the innermost first.
    """

    kind: EndingKind
    text: str = ""
    frames: tuple[str, ...] = ()

    @property
    def is_finding(self) -> bool:
        """Whether it says something of the tree's code."""
        return self.kind in FINDINGS

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion of the check that it ended."""
        return Conclusion.FOUND if self.is_finding else Conclusion.GONE

    @property
    def title(self) -> str:
        """What it is compared by: the kind and the message, less numbers and addresses."""
        plain = re.sub(r"0x[0-9a-f]+|\b[0-9]+\b", "N", self.text)
        return f"{self.kind}: {plain}" if plain else str(self.kind)

    def in_words(self) -> str:
        """A line for people."""
        where = f" in {' < '.join(self.frames[:4])}" if self.frames else ""
        match self.kind:
            case EndingKind.TRAP:
                return f"trap: {self.text} is used, which the host program does not have{where}"
            case EndingKind.MEMORY | EndingKind.EXHAUSTED | EndingKind.LOOP:
                return f"{self.text}{where}"
            case EndingKind.ASLEEP:
                return f"sleeps, and nothing wakes it: {self.text}{where}"
            case EndingKind.SIGNAL:
                return f"ended by {self.text}{where}"
            case EndingKind.EXITED:
                return self.text or "the host program ended without a word"
            case _:
                return f"{self.kind}: {self.text}{where}"


@dataclass(frozen=True, slots=True)
class Symbols:
    """The functions of a program by address.

    Args:
        starts: where each begins, in order.
        names: of them.
    """

    starts: Sequence[int]
    names: Sequence[str]

    @classmethod
    def of(cls, symbols: Iterable[Symbol]) -> Symbols:
        """Of a program's symbol table."""
        found = sorted((symbol.value, symbol.name) for symbol in symbols if symbol.is_code)
        return cls([start for start, _ in found], [name for _, name in found])

    def name_of(self, address: int) -> str:
        """The function that an address lies in; empty for none, as in a library."""
        place = bisect.bisect_right(self.starts, address) - 1
        if place < 0 or address - self.starts[place] > _LONGEST_FUNCTION:
            return ""
        return self.names[place]


#: Of the program's own: what was running is told from below them.
_OWN_FRAMES: Final = frozenset(
    {"host_end", "kern_end", "panic", "vpanic", "kassert_panic", "end", "on_signal", "on_tick"}
)


def read_ending(line: str, symbols: Symbols) -> HostEnding:
    """What a program's last words say.

    Raises:
        Nonsense: they are none.
    """
    found = _LAST_WORDS.fullmatch(line)
    if found is None or found[1] not in tuple(EndingKind):
        raise Nonsense(f"a line that is no answer: {line[:80]!r}")
    addresses = [int(word, 16) for word in found[2].split(",") if word]
    # A return address may be the next function's first byte.
    names = [symbols.name_of(address - 1) for address in addresses]
    while names and names[0] in _OWN_FRAMES:
        names.pop(0)
    kept = [name for name in names if name not in ("main", "serve", "take_line", "")]
    return HostEnding(EndingKind(found[1]), found[3].strip(), tuple(kept[:_MOST_FRAMES]))


def ending_of_status(status: int | None) -> HostEnding:
    """What the exit status of a program without last words says; None: it was killed by us."""
    number = -status if status is not None and status < 0 else (status or 0) - _SIGNALLED
    if number in {each.value for each in signal.Signals}:
        return HostEnding(EndingKind.SIGNAL, signal.Signals(number).name)
    return HostEnding(EndingKind.EXITED)
