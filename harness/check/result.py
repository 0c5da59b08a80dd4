"""What a check came to: values that stand in the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Conclusion(StrEnum):
    """How a check ended."""

    AGREED = "agreed"
    """the guest did what the model says, to the last operation"""
    DIFFERS = "differs"
    """it did something else"""
    GONE = "gone"
    """it ended in the middle: the boot's verdict says of what"""
    SILENT = "silent"
    """it runs, and has stopped answering"""
    NONSENSE = "nonsense"
    """it answers what is no answer"""
    REFUSED = "refused"
    """it says that it cannot do what it was told"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a guest did not do what the model says.

    Args:
        trace: the shortest that was found to show it, as text.
        length: operations of that trace.
        step: the operation that differs, counted from 1.
        operation: what it is.
        lines: how it differs.
        first: how many operations had been run when it was first seen.
    """

    trace: str
    length: int
    step: int
    operation: str
    lines: tuple[str, ...]
    first: int


@dataclass(frozen=True, slots=True)
class HostRun:
    """The program of the host that a check was of, and how it ended.

    Args:
        program: SHA-256 of it.
        sources: of the tree's files that it was compiled from, headers included.
        compiler: the first line of its ``--version``.
        optimisation: of the tree's files.
        shimmed: what stands in for the rest of the kernel, in words.
        kind: what ended it, if it ended in the middle.
        text: what it said of that.
        frames: the functions that were running, the innermost first.
        is_finding: whether that says something of the tree's code; else it is a limit of the
            program's or of the host's.
    """

    program: str
    sources: str
    compiler: str
    optimisation: str
    shimmed: tuple[str, ...]
    kind: str = ""
    text: str = ""
    frames: tuple[str, ...] = ()
    is_finding: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check came to.

    Args:
        subsystem: the part of the kernel that was checked.
        model: the variant of the model that it was held against.
        title: the same in a sentence.
        proof: the release on which that variant was proven, or ``unproven``.
        seed: of the random traces.
        operations: how many the guest was seen to do as the model says, and one that differs.
        zones: how many were made for them, or what else was set up.
        conclusion: how it ended.
        why: in words, where it did not agree.
        difference: where it did something else.
        trace: what was being run when the guest fell silent or ended, as text.
        notes: what was seen beside traces, for people.
        measured: the same as numbers, by name.
        seconds: how long it took.
        asked: what chose the variant (``--spec``).
        chosen: where it comes from, in words.
        changed: the functions of the kernel that are not as in the text it comes from.
        diff: of those functions.
        alike: the one other variant that does what the guest did, in words; empty without one.
        host: the program of the host that was checked; None for a guest.
    """

    subsystem: str
    model: str
    title: str
    proof: str
    seed: int
    operations: int = 0
    zones: int = 0
    conclusion: Conclusion = Conclusion.AGREED
    why: str = ""
    difference: Difference | None = None
    trace: str = ""
    notes: tuple[str, ...] = ()
    measured: Mapping[str, float | bool] = field(default_factory=dict)
    seconds: float = 0.0
    asked: str = ""
    chosen: str = ""
    changed: tuple[str, ...] = ()
    diff: str = ""
    alike: str = ""
    host: HostRun | None = None

    @property
    def is_finding(self) -> bool:
        """Whether what was checked did something wrong, as far as a program of the host shows."""
        if self.conclusion is Conclusion.DIFFERS:
            return True
        return self.host is not None and self.host.is_finding

    @property
    def agreed(self) -> bool:
        """Whether the guest did what the model says."""
        return self.conclusion is Conclusion.AGREED
