"""The terms of a verdict: outcomes, goals, how a guest ended, and expectations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a boot."""

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
    """it booted, and the kernel sees another machine than QEMU provides"""
    UNVERIFIED = "unverified"
    """kernel or machine could not be verified, or a failure without frames was not reproduced"""
    UNCONFIRMED = "unconfirmed"
    """it booted, and did not reproduce what the host program showed"""


class Until(StrEnum):
    """The goal that a boot must reach to count as booted."""

    INIT = "init"
    MOUNTROOT = "mountroot"
    SSH = "ssh"


class Ending(StrEnum):
    """How the guest ended."""

    EXITED = "exited"
    """it powered off, or its QEMU exited"""
    RESET = "reset"
    """it requested a reset, or caused a triple fault"""
    STOPPED = "stopped"
    """the harness ended it after its last expected output"""
    SILENCE = "silence"
    """the harness ended it because its console was silent"""
    DEADLINE = "deadline"
    """the harness ended it because a stage exceeded its limit"""
    TIMEOUT = "timeout"
    """the harness ended it because ``--timeout`` expired"""
    FLOOD = "flood"
    """the harness ended it because it printed more than ``log.end``"""
    INTERRUPTED = "interrupted"
    """the user interrupted the harness"""

    @property
    def by_time(self) -> bool:
        """Whether a time limit was exceeded, for which the host may be to blame."""
        return self in (Ending.SILENCE, Ending.DEADLINE, Ending.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected outcomes of a boot.

    Args:
        outcomes: the outcomes that are as expected; empty: no expectation.
        why: the reason.
        assumed: the outcomes predicted for the baseline, if the kernel's own code has no known
            form; else empty, as the prediction is the expectation.
    """

    outcomes: tuple[Outcome, ...]
    why: str
    assumed: tuple[Outcome, ...] = ()
