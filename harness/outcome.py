"""The words of a verdict: what a boot came to, how far it had to come, how its guest ended,
and what was expected of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a boot came to."""

    BOOTED = "booted"
    PANIC = "panic"
    TRAP = "trap"
    KASAN = "kasan"
    KMSAN = "kmsan"
    HANG = "hang"
    DEBUGGER = "debugger"
    RESET = "reset"
    ENDED = "ended"
    LOADER = "loader"
    FIRMWARE = "firmware"
    DIFFERS = "differs"
    """it came up, and reports another machine than the one that QEMU has started"""
    UNVERIFIED = "unverified"
    """no proof of which kernel or machine it was, or a failure without frames did not repeat"""
    UNCONFIRMED = "unconfirmed"
    """it came up, and did not repeat what a program of the host was found to do"""


class Until(StrEnum):
    """How far a boot must come to count as booted."""

    INIT = "init"
    MOUNTROOT = "mountroot"


class Ending(StrEnum):
    """How the guest ended."""

    EXITED = "exited"
    """by itself: powered off, or its QEMU died"""
    RESET = "reset"
    """by itself: asked for a reset, or faulted three times over"""
    STOPPED = "stopped"
    """by us: it had said all there was to wait for"""
    SILENCE = "silence"
    """by us: it said nothing for too long"""
    DEADLINE = "deadline"
    """by us: a stage took too long"""
    TIMEOUT = "timeout"
    """by us: the whole boot took longer than ``--timeout``"""
    FLOOD = "flood"
    """by us: its console had printed more than a log may"""
    INTERRUPTED = "interrupted"
    """by the user"""

    @property
    def by_time(self) -> bool:
        """Whether a time limit was exceeded, for which the host may be to blame."""
        return self in (Ending.SILENCE, Ending.DEADLINE, Ending.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a boot should come to.

    Args:
        outcomes: that it may have; none: nobody knows.
        why: in words.
        assumed: the outcomes that the prediction for the code below the changes has; empty where
            the prediction is for the kernel's own code, which makes it what is expected.
    """

    outcomes: tuple[Outcome, ...]
    why: str
    assumed: tuple[Outcome, ...] = ()
