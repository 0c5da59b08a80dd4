"""Endings of host programs, from their own last line or from their exit status."""

from __future__ import annotations

import bisect
import re
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from harness.check.protocol import Nonsense
from harness.check.result import Conclusion

if TYPE_CHECKING:
    from harness.onhost.places import Place
    from harness.onhost.symboltable import Symbol

_LAST_WORDS: Final = re.compile(
    r"!end ([a-z]{1,20}) frames=((?:[0-9a-f]{1,16}(?:,[0-9a-f]{1,16}){0,63})?) (.*)", re.ASCII
)
#: bwrap(1) and shells add this to the number of a signal.
_SIGNALLED: Final = 128
_MOST_FRAMES: Final = 8
_LONGEST_FUNCTION: Final = 1 << 20


class EndingKind(StrEnum):
    """Cause of a program's end."""

    PANIC = "panic"
    """a panic or an assertion of the kernel, or a violated rule of its locks"""
    INVARIANT = "invariant"
    """a broken invariant that the kernel does not assert itself"""
    ASLEEP = "asleep"
    """a thread sleeps, and no other can wake it"""
    DEADLOCK = "deadlock"
    """threads wait for locks of each other"""
    STARVATION = "starvation"
    """a thread runs for ever while others wait, or nobody else can run"""
    SHIM = "shim"
    """a sanitizer reports the harness's own code in the program: a limit of the program"""
    KASAN = "kasan"
    """memory is accessed that is not valid"""
    KUBSAN = "kubsan"
    """the behaviour is undefined"""
    KCSAN = "kcsan"
    """two threads access the same memory, and nothing orders that"""
    TRAP = "trap"
    """an undefined symbol was called or read: a limit of the program"""
    SIGNAL = "signal"
    """a signal"""
    LOOP = "loop"
    """an operation exceeded its CPU time, or does not end"""
    EXHAUSTED = "exhausted"
    """the program's own memory is exhausted"""
    MEMORY = "memory"
    """it exceeded its limit of the host's memory"""
    EXITED = "exited"
    """it exited without a last line"""


#: Faults of the tree's code; the others are limits of the program or the host.
FINDINGS: Final = frozenset({
    EndingKind.PANIC, EndingKind.INVARIANT, EndingKind.ASLEEP, EndingKind.DEADLOCK,
    EndingKind.STARVATION, EndingKind.KASAN, EndingKind.KUBSAN, EndingKind.KCSAN,
})  # fmt: skip

_IN_WORDS: Final = {
    EndingKind.SHIM: "a sanitizer reports the harness's own code:",
    EndingKind.SIGNAL: "ended by",
    EndingKind.ASLEEP: "sleeps, and nothing wakes it:",
}

#: Reports of sanitizers.
_REPORTS: Final = frozenset({EndingKind.KASAN, EndingKind.KUBSAN, EndingKind.KCSAN})

#: Endings that take seconds or gigabytes each time: their traces are not shrunk.
COSTLY: Final = frozenset({EndingKind.LOOP, EndingKind.MEMORY, EndingKind.EXHAUSTED})


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """An access to memory of a race.

    Args:
        words: verb, function, file and line.
        function: its function.
        digest: of its line; see ``Place.digest_in``.
        returns: the address of code after it.
    """

    words: str
    function: str
    digest: str
    returns: int


@dataclass(frozen=True, slots=True)
class HostEnding:
    """The end of a program.

    Args:
        kind: its cause.
        text: the panic's message, the invariant, the symbol or the signal.
        frames: the functions that were running, the innermost first.
        race: two accesses that nothing orders.
    """

    kind: EndingKind
    text: str = ""
    frames: tuple[str, ...] = ()
    race: tuple[Access, ...] = ()

    @property
    def is_finding(self) -> bool:
        """Whether it is a fault of the tree's code."""
        return self.kind in FINDINGS

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion of the check that it ended."""
        return Conclusion.FOUND if self.is_finding else Conclusion.GONE

    @property
    def title(self) -> str:
        """Kind and message without numbers and addresses; equal for equal faults."""
        plain = re.sub(r"0x[0-9a-f]+|\b[0-9]+\b", "N", self.text)
        return f"{self.kind}: {plain}" if plain else str(self.kind)

    def in_words(self) -> str:
        """Return one line for reports."""
        where = f" in {' < '.join(self.frames[:4])}" if self.frames else ""
        match self.kind:
            case EndingKind.TRAP:
                return f"trap: {self.text} is used, which the host program does not have{where}"
            case EndingKind.MEMORY | EndingKind.EXHAUSTED | EndingKind.LOOP:
                return f"{self.text}{where}"
            case EndingKind.EXITED:
                return self.text or "the host program ended without a word"
            case _:
                return f"{_IN_WORDS.get(self.kind, f'{self.kind}:')} {self.text}{where}"


def _nowhere(address: int) -> None:
    """Return the place of no address."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """The functions of a program by address.

    Args:
        starts: their addresses, ascending.
        names: their names.
        place: returns the line of source code of an address; None if it is not known.
    """

    starts: Sequence[int]
    names: Sequence[str]
    place: Callable[[int], Place | None] = _nowhere

    @classmethod
    def of(
        cls, symbols: Iterable[Symbol], place: Callable[[int], Place | None] = _nowhere
    ) -> Symbols:
        """Return the functions of a symbol table."""
        found = sorted((symbol.value, symbol.name) for symbol in symbols if symbol.is_code)
        return cls([start for start, _ in found], [name for _, name in found], place)

    def name_of(self, address: int) -> str:
        """Return the function at an address; empty if there is none, as in a library."""
        place = bisect.bisect_right(self.starts, address) - 1
        if place < 0 or address - self.starts[place] > _LONGEST_FUNCTION:
            return ""
        return self.names[place]

    def location_of(self, returns: int) -> str:
        """Return function, file and line of a call, by its return address."""
        place = self.place(returns - 1)
        return ", ".join([self.name_of(returns - 1) or "?", *([str(place)] if place else [])])


#: Functions of the program itself, above the one that failed.
_OWN_FRAMES: Final = frozenset(
    {"host_end", "kern_end", "panic", "vpanic", "kassert_panic", "end", "on_signal", "on_tick"}
)


#: The same, of reports of sanitizers: what the compiler and the tree's hooks call.
_HOOKS: Final = re.compile(
    r"(?:__[atu][bs]?san|access|harness|kasan|races|shadow)_\w+|report|see|compare"
)
#: A report of the harness's own sources says something of the tree where the check module uses an
#: item that UMA has handed out.
_OF_HARNESS: Final = re.compile(r"(?:, | at )harness/")
_OF_ITEM: Final = re.compile(r"of (?:a free item|freed pages|[a-z ]*behind an item)")
_RACE: Final = re.compile(
    r"([a-z-]{4,12})=([0-9a-f]{1,16}) ([a-z-]{4,12})=([0-9a-f]{1,16})", re.ASCII
)


def read_ending(line: str, symbols: Symbols) -> HostEnding:
    """Return the ending that a program's last line describes.

    Raises:
        Nonsense: it is not such a line.
    """
    found = _LAST_WORDS.fullmatch(line)
    if found is None or found[1] not in tuple(EndingKind):
        raise Nonsense(f"a line that is no answer: {line[:80]!r}")
    addresses = [int(word, 16) for word in found[2].split(",") if word]
    kind, text = EndingKind(found[1]), found[3].strip()
    is_report = kind in _REPORTS
    # A return address may be the next function's first byte.
    names = [symbols.name_of(address - 1) for address in addresses]
    while names and (names[0] in _OWN_FRAMES or (is_report and _HOOKS.fullmatch(names[0]))):
        names.pop(0)
        addresses.pop(0)
    race: tuple[Access, ...] = ()
    if kind is EndingKind.KASAN and addresses:
        text = f"{text}: {symbols.location_of(addresses[0])}"
    if is_report and _OF_HARNESS.search(text) and not _OF_ITEM.search(text):
        kind = EndingKind.SHIM
    elif kind is EndingKind.KCSAN:
        race = _race_of(text, symbols)
        text = f"nothing orders: {'; '.join(access.words for access in race)}"
    kept = [name for name in names if name not in ("main", "serve", "take_line", "try", "")]
    return HostEnding(kind, text, tuple(kept[:_MOST_FRAMES]), race)


def _race_of(text: str, symbols: Symbols) -> tuple[Access, ...]:
    """Return the accesses of a race, whichever came first in the same order.

    Raises:
        Nonsense: it is none.
    """
    found = _RACE.fullmatch(text)
    if found is None:
        raise Nonsense(f"a race that is none: {text[:80]!r}")
    accesses = ((found[1], int(found[2], 16)), (found[3], int(found[4], 16)))
    return tuple(sorted(_access(verb, returns, symbols) for verb, returns in accesses))


def _access(verb: str, returns: int, symbols: Symbols) -> Access:
    function, place = symbols.name_of(returns - 1), symbols.place(returns - 1)
    digest = place.digest_in(function) if place else ""
    words = f"{verb} in {symbols.location_of(returns)}"
    return Access(f"{words} ({digest})" if digest else words, function, digest, returns)


def ending_of_status(status: int | None) -> HostEnding:
    """Return the ending by the exit status, without a last line; None: the harness killed it."""
    number = -status if status is not None and status < 0 else (status or 0) - _SIGNALLED
    if number in {each.value for each in signal.Signals}:
        return HostEnding(EndingKind.SIGNAL, signal.Signals(number).name)
    return HostEnding(EndingKind.EXITED)
