"""Operations on an arena, and their text, one per line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from harness.errors import UsageError
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

_WORD: Final = re.compile(r"([a-z]+)=(\S+)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


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
    verb, _, rest = text.strip().partition(" ")
    words = dict(_WORD.findall(rest))
    try:
        match verb:
            case "alloc":
                want = {name: number(words, name) for name in CONSTRAINTS if name in words}
                fit = Fit(words["fit"])
                return Alloc(_slot(words), number(words, "size"), fit, Constraints(**want))
            case "free":
                return Free(_slot(words))
            case "add":
                return Add(number(words, "base"), number(words, "size"))
            case "limit":
                return Limit(number(words, "size"))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"the line {text.strip()[:80]!r} lacks a value, or has an invalid one: {error}",
            remedy="write it as harness check prints it",
        ) from error
    raise UsageError(
        f"there is no operation {verb[:40]!r}", remedy="known: alloc, free, add, limit"
    )


def _slot(words: Mapping[str, str]) -> int:
    return number(words, "slot", SLOTS)


def number(words: Mapping[str, str], key: str, limit: int = NUMBER_LIMIT) -> int:
    """Return a number below a limit among the words of a line.

    Raises:
        KeyError: there is no such word.
        ValueError: it is not such a number.
    """
    text = words[key]
    if not _NUMBER.fullmatch(text) or int(text) >= limit:
        raise ValueError(f"{key}={text[:40]} is no number below {limit}")
    return int(text)
