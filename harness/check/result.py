"""Results of checks, as records contain them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Conclusion(StrEnum):
    """The conclusion of a check."""

    AGREED = "agreed"
    """the guest agreed with the model, or kept the invariants, in all operations"""
    DIFFERS = "differs"
    """the guest differed from the model"""
    BROKEN = "broken"
    """a subsystem without a model broke one of its invariants in the guest"""
    GONE = "gone"
    """the guest ended during the check; the boot's verdict has the cause"""
    FOUND = "found"
    """a host program panicked or broke an invariant"""
    SILENT = "silent"
    """the guest is running, and stopped answering"""
    NONSENSE = "nonsense"
    """the guest's answers are invalid"""
    REFUSED = "refused"
    """the guest refused a command"""


_IN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        Conclusion.AGREED: "check passed",
        Conclusion.DIFFERS: "check differs",
        Conclusion.BROKEN: "invariant broken",
        Conclusion.GONE: "check cut short",
        Conclusion.FOUND: "check failed",
        Conclusion.SILENT: "check unanswered",
        Conclusion.NONSENSE: "check got invalid answers",
        Conclusion.REFUSED: "check refused",
    }
)


def conclusion_in_words(conclusion: str) -> str:
    """Return a conclusion for tables; unknown ones, as in damaged records, unchanged."""
    return _IN_WORDS.get(conclusion, f"check {conclusion}")


#: Conclusions that are a fault of the guest's code; the others may be its end, or the channel's.
FAULTS = frozenset({Conclusion.DIFFERS, Conclusion.BROKEN})


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between guest and model, or an invariant that the guest broke.

    Args:
        trace: the shortest trace that reproduces it, as text.
        length: the number of operations of the trace.
        step: the operation that differs, counted from 1.
        operation: the operation's line.
        lines: the differences.
        first: the number of operations up to its first occurrence.
    """

    trace: str
    length: int
    step: int
    operation: str
    lines: tuple[str, ...]
    first: int


@dataclass(frozen=True, slots=True)
class HostRun:
    """The host program that a check was of, and how it ended.

    Args:
        program: SHA-256 of it.
        sources: of the tree's files that it was compiled from, headers included.
        compiler: the first line of its ``--version``.
        optimisation: of the tree's files.
        shimmed: what stands in for the rest of the kernel, in words.
        sanitizers: names of the sanitizers that it has.
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
    sanitizers: tuple[str, ...] = ()
    kind: str = ""
    text: str = ""
    frames: tuple[str, ...] = ()
    is_finding: bool = False


@dataclass(frozen=True, slots=True)
class SearchFinding:
    """A kind of finding of a search without a model.

    Args:
        title: what it is compared by.
        words: a line for people.
        case: the named case that it is of; empty for a new one.
        counts: whether it is one of the kernel's code; else it is a limit of the program's.
        times: how often it was seen.
        first: the number of operations up to its first occurrence.
        trace: the shortest trace that shows it, as text; empty where no trace was begun.
        alone: whether the trace shows it in a fresh program.
    """

    title: str
    words: str
    case: str
    counts: bool
    times: int
    first: int
    trace: str
    alone: bool

    @property
    def is_new(self) -> bool:
        """Whether it is of the kernel's code, and no named case."""
        return self.counts and not self.case


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check.

    Args:
        subsystem: the subsystem that was checked.
        model: the variant of the model.
        title: the variant's name for reports.
        proof: the release whose kernels agree with the variant, or ``unproven``.
        seed: the seed of the random traces.
        operations: the number of operations that were compared, with one that differs.
        setups: the number of setups, such as created zones.
        conclusion: the conclusion.
        why: the reason, if it did not agree.
        difference: the difference, or None.
        trace: the trace that was running when the guest ended or stopped answering, as text.
        notes: observations other than traces, as lines of text.
        measured: measurements, by name.
        seconds: the duration.
        asked: the argument of ``--spec``.
        chosen: the origin of the variant.
        changed: the functions of the kernel that differ from the specification's code.
        diff: the diff of these functions.
        alike: another variant that agrees with the guest; empty if there is none.
        host: the host program that was checked; None for a guest.
        findings: of a search without a model, in the order in which they were found.
        interleavings: what was run of schedules of threads; see ``InterleavingCounts``.
    """

    subsystem: str
    model: str
    title: str
    proof: str
    seed: int
    operations: int = 0
    setups: int = 0
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
    findings: tuple[SearchFinding, ...] = ()
    interleavings: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_finding(self) -> bool:
        """Whether what was checked did something wrong, as far as a host program shows."""
        if self.conclusion in FAULTS:
            return True
        return self.host is not None and self.host.is_finding

    @property
    def agreed(self) -> bool:
        """Whether the guest agreed with the model, or kept all invariants."""
        return self.conclusion is Conclusion.AGREED
