"""Checks of guests whose arenas do what the model says, or something else."""

from __future__ import annotations

import pytest
from arena_guest import ArenaGuest
from model_guest import report

from harness.boot.worldguest import Login
from harness.check.checker import Checker, CheckPlan
from harness.check.result import CheckResult, Conclusion
from harness.errors import UsageError
from harness.guest.contact import Contact
from harness.host.clock import HostClock
from harness.host.progress import Recorded
from harness.subsystems.vmem.cases import VMEM_CASES
from harness.subsystems.vmem.check.trace import Trace, parse_trace
from harness.subsystems.vmem.codeforms import facts
from harness.subsystems.vmem.model.arena import Arena, Constraints
from harness.subsystems.vmem.model.tag import KernelFault, Tag
from harness.subsystems.vmem.subsystem import ARENAS


class KeepsSpans(Arena):
    """Does not give free spans back."""

    def _vmem_try_release(self, bt: Tag, *, remfree: bool) -> bool:
        return False


class NeverCoalesces(Arena):
    """Does not join free segments at the cursor."""

    def _coalesce_at_cursor(self) -> Tag | None:
        return None


class StopsAtTheCursor(Arena):
    """Ends a search that comes back to a cursor at the head."""

    def _behind_cursor(self, size: int, align: int, want: Constraints) -> tuple[Tag, int] | None:
        try:
            return super()._behind_cursor(size, align, want)
        except KernelFault:
            return None


def checked(guest: ArenaGuest, operations: int = 600, replay: Trace | None = None) -> CheckResult:
    plan = CheckPlan(ARENAS.held_to(facts()), operations, 1, replay, slowness=0.02)
    checker = Checker(plan, HostClock())
    checker.work(Contact(guest, Login(None)), report(2), Recorded(), HostClock())
    return checker.result


def test_a_guest_that_does_what_the_model_says_agrees() -> None:
    result = checked(ArenaGuest())
    assert result.conclusion is Conclusion.AGREED, result
    assert result.operations >= 600


@pytest.mark.parametrize("wrong", [KeepsSpans, NeverCoalesces])
def test_wrong_code_is_found_and_its_trace_shrunk_to_what_shows_it(wrong: type[Arena]) -> None:
    found = checked(ArenaGuest(code=wrong), 3000).difference
    assert found is not None
    assert found.length <= 6
    trace = parse_trace(found.trace)
    replayed = checked(ArenaGuest(code=wrong), replay=trace).difference
    assert replayed is not None
    assert replayed.lines == found.lines
    assert checked(ArenaGuest(), replay=trace).agreed


def test_a_guest_that_survives_what_the_model_does_not_differs_from_it() -> None:
    case = next(case for case in VMEM_CASES if case.name == "nextfit-forever")
    found = checked(ArenaGuest(code=StopsAtTheCursor), replay=parse_trace(case.trace)).difference
    assert found is not None
    assert found.lines == ("the kernel survives a call that it does not survive in the model",)


def test_what_a_dying_guest_was_asked_last_is_kept_as_a_trace() -> None:
    result = checked(ArenaGuest(dies_after=40))
    assert result.conclusion is Conclusion.GONE
    assert len(parse_trace(result.trace)) > 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin with arena"),
        ("arena quantum=3 base=3 size=3", "quantum of 3"),
        ("arena quantum=16 base=8 size=32", "a span of 32 bytes at 8"),
        ("arena quantum=16 base=0 size=32 imports=8", "imports of 8 bytes"),
        ("arena quantum=1 base=0 size=100 imports=1", "more than 64 imports"),
        ("arena quantum=1 base=9999999999 size=100", "ends too high"),
        ("arena quantum=1 base=0 size=9\nalloc slot=0 size=0 fit=best", "assertion size > 0"),
        (
            "arena quantum=1 base=0 size=9\nalloc slot=0 size=1 fit=best\n"
            "alloc slot=0 size=1 fit=best",
            "slot 0 is in use",
        ),
        ("arena quantum=1 base=0 size=9\nadd base=8 size=1", "a span of 1 bytes at 8"),
    ],
)
def test_a_text_that_is_no_trace_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_trace(text)
