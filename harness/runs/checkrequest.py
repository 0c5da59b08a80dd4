"""The request for a check."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from harness.runs.guests import GuestRequest
from harness.subsystems.specifications import AUTO

if TYPE_CHECKING:
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


class On(StrEnum):
    """Where a kernel's code is checked."""

    HOST = "host"
    """as a host program alone: nothing is booted"""
    GUEST = "guest"
    """in guests alone"""
    BOTH = "both"
    """on the host first, and what is found there repeated in the guest, which judges"""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A kernel to check.

    Args:
        what: the kernel.
        guest: the guest, exactly one; default: 2 nodes.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
        operations: minimum number of operations of each check, in the guest, or with
            ``On.HOST`` on the host; None: 1000 in a guest, and 100,000 on the host.
        seeds: seeds of the random traces, below 2^64; one guest for each.
        replay: the file of a trace that is run instead of random ones.
        spec: the specification; see ``Specifications.of``.
        subsystem: the subsystem; None: all that fit, each in a guest of its own.
        on: where the code is checked.
        case: the named case whose trace is run instead of random ones.
        fail_on_known: whether findings of named cases count as others do.
        schedules: maximum number of schedules of each random trace, which then has threads; with
            ``replay``, of that trace, if it names none itself; 0: the usual.
        coverage: the directory that the coverage of host programs is written to, with ``On.HOST``;
            None: it is not measured.
    """

    what: KernelRequest
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    operations: int | None = None
    seeds: tuple[int, ...] = (1,)
    replay: Path | None = None
    spec: str = AUTO
    subsystem: str | None = None
    on: On = On.BOTH
    case: str | None = None
    fail_on_known: bool = False
    schedules: int = 0
    coverage: Path | None = None
