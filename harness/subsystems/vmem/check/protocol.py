"""Commands to a guest's check module for arenas, and its answers; pure.

Answers are untrusted: they are read with a strict grammar; all else is ``Nonsense``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.check.protocol import number_in
from harness.subsystems.vmem.model.arena import Fit
from harness.subsystems.vmem.model.operations import (
    Add,
    Alloc,
    Free,
    Limit,
    Operation,
    given,
)
from harness.subsystems.vmem.model.player import Seen, Setup

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord

_FITS: Final = tuple(Fit)
_NAMES: Final = {Alloc: "arena_alloc", Free: "arena_free", Add: "arena_add", Limit: "arena_limit"}


def setup_command(setup: Setup) -> str:
    """Return the command that creates an arena."""
    return (
        f"arena quantum={setup.quantum} base={setup.base} size={setup.size} "
        f"imports={setup.imports} releases={int(setup.releases)} reclaims={int(setup.reclaims)}"
    )


def command(operation: Operation) -> str:
    """Return the command of an operation."""
    match operation:
        case Alloc(slot, size, fit, want):
            limits = "".join(f" {name}={value}" for name, value in given(want).items())
            return f"arena_alloc slot={slot} size={size} fit={_FITS.index(fit)}{limits}"
        case Free(slot):
            return f"arena_free slot={slot}"
        case Add(base, size):
            return f"arena_add base={base} size={size}"
        case Limit(size):
            return f"arena_limit size={size}"


def answer_text(seen: Seen, operation: Operation) -> str:
    """Return the answer of a guest to an operation."""
    numbers = " ".join(f"{name}={value}" for name, value in seen._asdict().items())
    return f"{_NAMES[type(operation)]} {numbers}"


def read_seen(record: ProbeRecord) -> Seen:
    """Return the state in an answer.

    Raises:
        Nonsense: the answer violates the protocol.
    """
    fields = dict(record.fields)
    return Seen(*(number_in(fields, name) for name in Seen._fields))
