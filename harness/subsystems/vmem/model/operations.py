"""Operations on an arena, and their text, one per line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from harness.check.tracewords import number, read_line
from harness.subsystems.vmem.model.arena import NO_CONSTRAINTS, Constraints, Fit

#: Number of allocations that a trace holds at a time.
SLOTS: Final = 64

#: Limit of sizes and addresses: the channel's numbers have ten digits.
NUMBER_LIMIT: Final = 10**10


@dataclass(frozen=True, slots=True)
class Alloc:
    """Allocate: by ``vmem_alloc``, or with constraints by ``vmem_xalloc``.

    Args:
        slot: where the address is kept; must be empty.
        size: in bytes.
        fit: the strategy.
        want: the constraints.
    """

    slot: int
    size: int
    fit: Fit
    want: Constraints = NO_CONSTRAINTS


@dataclass(frozen=True, slots=True)
class Free:
    """Free what is in a slot; nothing if it is empty."""

    slot: int


@dataclass(frozen=True, slots=True)
class Add:
    """``vmem_add``: add a span."""

    base: int
    size: int


@dataclass(frozen=True, slots=True)
class Limit:
    """``vmem_set_limit``; 0 for no limit."""

    size: int


Operation = Alloc | Free | Add | Limit
Operations = tuple[Operation, ...]

#: Names of constraints. Default values are left out of texts and commands.
CONSTRAINTS: Final = tuple(each.name for each in fields(Constraints))


def operation_text(operation: Operation) -> str:
    """Return the line of an operation."""
    match operation:
        case Alloc(slot, size, fit, want):
            limits = "".join(f" {name}={value}" for name, value in given(want).items())
            return f"alloc slot={slot} size={size} fit={fit}{limits}"
        case Free(slot):
            return f"free slot={slot}"
        case Add(base, size):
            return f"add base={base} size={size}"
        case Limit(size):
            return f"limit size={size}"


def given(want: Constraints) -> Mapping[str, int]:
    """Return the constraints that are not the defaults, by name."""
    pairs = ((name, getattr(want, name)) for name in CONSTRAINTS)
    return {name: value for name, value in pairs if value != getattr(NO_CONSTRAINTS, name)}


def parse_operation(text: str) -> Operation:
    """Return the operation of a line.

    Raises:
        UsageError: the line is not an operation.
    """
    return read_line(text, _READERS)


def _alloc_of(words: Mapping[str, str]) -> Alloc:
    want = {name: number(words, name, NUMBER_LIMIT) for name in CONSTRAINTS if name in words}
    size, fit = number(words, "size", NUMBER_LIMIT), Fit(words["fit"])
    return Alloc(_slot(words), size, fit, Constraints(**want))


def _add_of(words: Mapping[str, str]) -> Add:
    return Add(number(words, "base", NUMBER_LIMIT), number(words, "size", NUMBER_LIMIT))


def _slot(words: Mapping[str, str]) -> int:
    return number(words, "slot", SLOTS)


_READERS: Final[Mapping[str, Callable[[Mapping[str, str]], Operation]]] = {
    "alloc": _alloc_of,
    "free": lambda words: Free(_slot(words)),
    "add": _add_of,
    "limit": lambda words: Limit(number(words, "size", NUMBER_LIMIT)),
}
