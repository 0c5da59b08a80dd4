"""Which repeats a failure needs before it counts against the kernel. Pure.

A panic, trap or sanitizer report with the kernel's banner and frames is evidence by itself. A
failure without frames may be caused by the accelerator or the direct start, so it counts only under
TCG with the loader. A kernel that fails before its banner printed nothing: it must fail under TCG
both through the loader and directly, while another kernel boots on this host.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from harness.boot.plan import Sampling
from harness.host.accelerator import Accelerator
from harness.image.media import BootMethod
from harness.outcome import Ending, Outcome
from harness.sanitizers import OUTCOMES
from harness.verification import Banner

if TYPE_CHECKING:
    from harness.verdict import Verdict
    from harness.verification import Verification

_REPORTS: Final = OUTCOMES | {Outcome.PANIC, Outcome.TRAP}

#: Failures seen in one way only are not the kernel's if chance is less likely than this.
_UNLIKELY: Final = 0.01


class BootResult(StrEnum):
    """What one boot proves about its kernel."""

    BOOTED = "booted"
    """it came up, if only with other hardware than it was given"""
    REPORT = "report"
    """the kernel's banner, and a panic, trap or sanitizer report with frames"""
    FAILED = "failed"
    """the kernel's banner, then a failure without frames"""
    EARLY = "early"
    """the kernel was entered, and failed before its banner"""
    NOTHING = "nothing"
    """of the kernel: the host or the loader failed, it was another kernel, or it was ended"""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to boot: accelerator and boot method."""

    accelerator: Accelerator
    method: BootMethod

    def __str__(self) -> str:
        start = "with the loader" if self.method is BootMethod.LOADER else "by the direct start"
        if self.accelerator is Accelerator.NONE:
            return f"on the same machine {start}"
        return f"under {self.accelerator.value} {start}"

    @property
    def trusted(self) -> Accelerator:
        """The way of repeats: TCG, or the same machine if it is the only one."""
        return self.accelerator if self.accelerator is Accelerator.NONE else Accelerator.TCG

    @property
    def decides(self) -> bool:
        """Whether a failure without frames counts by itself."""
        return self == Way(Accelerator.TCG, BootMethod.LOADER)


@dataclass(frozen=True, slots=True)
class BootSeen:
    """A boot that ran; without an outcome, the host failed."""

    way: Way
    result: BootResult
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Boot the same kernel again in this way."""

    way: Way


@dataclass(frozen=True, slots=True)
class Control:
    """Boot another kernel for comparison."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The verdict of one boot counts.

    Args:
        index: 0 is the first boot, the others are its repeats.
        why: empty if it needed no repeat.
    """

    index: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Unproven:
    """The failure does not count against the kernel; ``why`` continues "hang: …;"."""

    why: str


Step = Again | Control | Counts | Unproven


def result_of(shown: Verdict, ending: Ending, verification: Verification) -> BootResult:
    """Return what a boot proves.

    Args:
        shown: the verdict on its console.
        ending: how its guest ended.
        verification: proof of which kernel ran on which machine.
    """
    if verification.doubts and not verification.lacks_banner_only:
        return BootResult.NOTHING
    if shown.outcome in (Outcome.BOOTED, Outcome.DIFFERS):
        return BootResult.BOOTED
    interrupted = ending is Ending.INTERRUPTED and shown.outcome is Outcome.ENDED
    if interrupted or shown.blames_host or not shown.kernel_entered:
        return BootResult.NOTHING
    if verification.identified or verification.banner is Banner.EXPECTED:
        by_itself = shown.outcome in _REPORTS and shown.frames
        return BootResult.REPORT if by_itself else BootResult.FAILED
    return BootResult.EARLY if verification.banner is Banner.MISSING else BootResult.NOTHING


def next_step(
    seen: Sequence[BootSeen],
    methods: Collection[BootMethod],
    *,
    loadable: bool,
    sampling: Sampling = Sampling.SINGLE,
    control: bool | None = None,
) -> Step:
    """Return the next step after the boots made so far.

    Args:
        seen: the first boot, then its repeats in order.
        methods: methods that can boot this kernel on this host; none if it cannot be repeated.
        loadable: whether a loader could start the kernel, if one is installed.
        sampling: purpose of the first boot.
        control: whether another kernel booted here; None if not tried.
    """
    first = seen[0]
    match first.result:
        case BootResult.BOOTED:
            return Counts(0)
        case BootResult.NOTHING:
            return Unproven("ended from outside, not by its kernel")
        case BootResult.REPORT:
            return _after_report(seen, methods, sampling)
        case BootResult.FAILED if sampling is Sampling.TRIAL:
            return Counts(0)
        case BootResult.FAILED:
            return _after_failure(seen, methods)
        case BootResult.EARLY:
            return _after_early_failure(seen, methods, control, loadable=loadable)


def one_way_only(boots: int, failures: int) -> bool:
    """Return whether chance does not explain that none of the failures repeated.

    A kernel that fails in ``failures`` of ``boots`` boots, however it is booted, passes as many
    repeats with the probability (1 - rate) ** failures.
    """
    return failures > 0 and (1 - failures / boots) ** failures < _UNLIKELY


def _after_report(
    seen: Sequence[BootSeen], methods: Collection[BootMethod], sampling: Sampling
) -> Step:
    """A report counts; a repeat under TCG is only shown beside it."""
    way = Way(seen[0].way.trusted, seen[0].way.method)
    wanted = seen[0].way != way and sampling is Sampling.SINGLE
    if wanted and len(seen) == 1 and way.method in methods:
        return Again(way)
    return Counts(0)


def _after_failure(seen: Sequence[BootSeen], methods: Collection[BootMethod]) -> Step:
    if seen[0].way.decides:
        return Counts(0)
    if not methods:
        return Unproven("not repeated")
    method = BootMethod.LOADER if BootMethod.LOADER in methods else BootMethod.DIRECT
    reference = Way(seen[0].way.trusted, method)
    if len(seen) == 1:
        return Again(reference)
    first, again = seen[0], seen[1]
    if again.result not in (BootResult.FAILED, BootResult.REPORT):
        return Unproven(_unlike(again))
    if (again.result, again.outcome) == (first.result, first.outcome):
        return Counts(0, f"repeated {reference}")
    return Counts(1, f"{first.outcome or 'another failure'} {first.way}")


def _after_early_failure(
    seen: Sequence[BootSeen],
    methods: Collection[BootMethod],
    control: bool | None,
    *,
    loadable: bool,
) -> Step:
    if not methods:
        return Unproven("before the kernel's banner, and not repeated")
    other = _other_than_early(seen)
    if other is not None:
        return other
    made_to_order = seen[0].way.accelerator is not Accelerator.NONE
    if loadable and made_to_order and BootMethod.LOADER not in methods:
        return Unproven("before the kernel's banner, and the loader cannot be tried on this host")
    wanted = [Way(seen[0].way.trusted, method) for method in BootMethod if method in methods]
    if len(wanted) == 1:
        wanted *= 2  # it has one way to boot
    made = [one.way for one in seen]
    missing = next((way for way in wanted if made.count(way) < wanted.count(way)), None)
    if missing is not None:
        return Again(missing)
    return _with_control(made.index(wanted[0]), wanted, control)


def _other_than_early(seen: Sequence[BootSeen]) -> Step | None:
    """Return the step after a repeat that did not fail before the banner; None without one."""
    for index, again in enumerate(seen[1:], start=1):
        by_itself = again.result is BootResult.FAILED and again.way.decides
        if again.result is BootResult.REPORT or by_itself:
            return Counts(index, f"repeated {again.way}")
        if again.result is not BootResult.EARLY:
            return Unproven(f"before the kernel's banner; {_unlike(again)}")
    return None


def _with_control(index: int, ways: Sequence[Way], control: bool | None) -> Step:
    if control is None:
        return Control()
    if not control:
        return Unproven("before the kernel's banner, and no other kernel boots on this host either")
    made = " and ".join(str(way) for way in dict.fromkeys(ways))
    return Counts(index, f"before its banner {made}, while another kernel boots on this host")


def _unlike(again: BootSeen) -> str:
    words = {
        BootResult.BOOTED: "booted",
        BootResult.NOTHING: "no verdict on the kernel",
        BootResult.EARLY: "no banner",
    }.get(again.result, "a failure after the banner")
    return f"{words} when repeated {again.way}"
