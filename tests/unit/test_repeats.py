"""Which repeats a failure needs, and when it counts against the kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cells import cell
from hypothesis import given
from hypothesis import strategies as st

from harness.boot.confirm import settled
from harness.boot.plan import Sampling
from harness.boot.repeats import (
    Again,
    BootResult,
    BootSeen,
    Control,
    Counts,
    Step,
    Unproven,
    Way,
    next_step,
    one_way_only,
    result_of,
)
from harness.console import events as e
from harness.console.stages import Stage
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.image.media import BootMethod
from harness.kernel.elf import KernelFacts
from harness.outcome import Ending, Outcome
from harness.results.record import Cell, Repeat, rates_of
from harness.sanitizers import NONE
from harness.verdict import Verdict
from harness.verification import Banner, Evidence, Verification, verification_of

KVM, KVM_DIRECT = (Way(Accelerator.KVM, method) for method in BootMethod)
TCG, DIRECT = (Way(Accelerator.TCG, method) for method in BootMethod)
BOTH = (BootMethod.LOADER, BootMethod.DIRECT)
ONE = (BootMethod.DIRECT,)

BOOTED, REPORT, FAILED, EARLY, NOTHING = BootResult

WAYS = st.sampled_from([KVM, KVM_DIRECT, TCG, DIRECT])


def freebsd(*seen: tuple[Way, BootResult], control: bool | None = None) -> Step:
    """The next step for a FreeBSD kernel on a host with firmware and a loader."""
    return next_step([BootSeen(*one) for one in seen], BOTH, loadable=True, control=control)


def built_in(*seen: tuple[Way, BootResult], control: bool | None = None) -> Step:
    return next_step([BootSeen(*one) for one in seen], ONE, loadable=False, control=control)


def counts(step: Step) -> int | None:
    return step.index if isinstance(step, Counts) else None


def verified(banner: Banner = Banner.EXPECTED, doubts: tuple[str, ...] = ()) -> Verification:
    return Verification("n", "b", "v", (), banner, identified=False, doubts=doubts)


FACTS = KernelFacts(build_id="b", version="v", sanitizers=NONE, size=1)

NO_BANNER, _ = verification_of(
    [], Verdict(Outcome.HANG, "t", Stage.KERNEL, kernel_entered=True),
    Evidence("n", FACTS, Topology.even(1), ()),
)  # fmt: skip


class TestResult:
    FRAME = (e.Frame("kmem_init"),)

    @pytest.mark.parametrize(
        ("outcome", "frames", "ending", "expected"),
        [
            (Outcome.BOOTED, (), Ending.STOPPED, BOOTED),
            (Outcome.DIFFERS, (), Ending.STOPPED, BOOTED),
            (Outcome.PANIC, FRAME, Ending.STOPPED, REPORT),
            (Outcome.KMSAN, FRAME, Ending.INTERRUPTED, REPORT),
            (Outcome.TRAP, (), Ending.RESET, FAILED),
            (Outcome.HANG, (), Ending.SILENCE, FAILED),
            (Outcome.DEBUGGER, (), Ending.STOPPED, FAILED),
            (Outcome.RESET, (), Ending.RESET, FAILED),
            (Outcome.ENDED, (), Ending.EXITED, FAILED),
            (Outcome.ENDED, (), Ending.INTERRUPTED, NOTHING),
            (Outcome.UNVERIFIED, (), Ending.STOPPED, NOTHING),
        ],
    )
    def test_a_report_needs_frames(
        self, outcome: Outcome, frames: tuple[e.Frame, ...], ending: Ending, expected: BootResult
    ) -> None:
        shown = Verdict(outcome, "t", Stage.KERNEL, kernel_entered=True, frames=frames)
        assert result_of(shown, ending, verified()) is expected

    @pytest.mark.parametrize("outcome", [Outcome.PANIC, Outcome.HANG, Outcome.FIRMWARE])
    def test_without_a_banner_it_is_early(self, outcome: Outcome) -> None:
        shown = Verdict(outcome, "t", Stage.KERNEL, kernel_entered=True, frames=self.FRAME)
        assert result_of(shown, Ending.SILENCE, NO_BANNER) is EARLY

    def test_of_another_kernel_or_machine_it_is_nothing(self) -> None:
        shown = Verdict(Outcome.PANIC, "t", Stage.KERNEL, kernel_entered=True, frames=self.FRAME)
        for other in (
            verified(Banner.OTHER),
            verified(doubts=("2 CPUs instead of 4",)),
            replace(NO_BANNER, doubts=(*NO_BANNER.doubts, "2 CPUs instead of 4")),
        ):
            assert result_of(shown, Ending.STOPPED, other) is NOTHING

    @pytest.mark.parametrize("outcome", [Outcome.FIRMWARE, Outcome.LOADER])
    def test_before_the_kernel_it_is_nothing(self, outcome: Outcome) -> None:
        shown = Verdict(outcome, "t", Stage.LOADER, kernel_entered=False)
        assert result_of(shown, Ending.SILENCE, NO_BANNER) is NOTHING


class TestReport:
    def test_it_counts_by_itself_and_a_repeat_is_only_shown(self) -> None:
        assert freebsd((TCG, REPORT)) == freebsd((DIRECT, REPORT)) == Counts(0)
        assert freebsd((KVM, REPORT)) == Again(TCG)
        assert freebsd((KVM_DIRECT, REPORT)) == Again(DIRECT)
        for again in BootResult:
            assert freebsd((KVM, REPORT), (TCG, again)) == Counts(0)

    @pytest.mark.parametrize("sampling", [Sampling.REPEATED, Sampling.TRIAL])
    def test_one_of_several_is_not_repeated(self, sampling: Sampling) -> None:
        step = next_step([BootSeen(KVM, REPORT)], BOTH, loadable=True, sampling=sampling)
        assert step == Counts(0)


class TestFailure:
    def test_under_tcg_with_the_loader_it_counts_by_itself(self) -> None:
        assert freebsd((TCG, FAILED)) == Counts(0)

    @pytest.mark.parametrize("first", [KVM, KVM_DIRECT, DIRECT])
    def test_otherwise_it_is_repeated_that_way(self, first: Way) -> None:
        assert freebsd((first, FAILED)) == Again(TCG)
        assert counts(freebsd((first, FAILED), (TCG, FAILED))) == 0
        assert counts(freebsd((first, FAILED), (TCG, REPORT))) == 1
        for other in (BOOTED, EARLY, NOTHING):
            assert isinstance(freebsd((first, FAILED), (TCG, other)), Unproven)

    @pytest.mark.parametrize("first", [KVM_DIRECT, DIRECT])
    def test_without_firmware_or_loader_it_is_repeated_directly(self, first: Way) -> None:
        assert built_in((first, FAILED)) == Again(DIRECT)
        assert counts(built_in((first, FAILED), (DIRECT, FAILED))) == 0
        assert isinstance(built_in((first, FAILED), (DIRECT, BOOTED)), Unproven)

    def test_what_the_repeat_shows_counts_where_they_differ(self) -> None:
        first = BootSeen(KVM, FAILED, Outcome.HANG)
        for again, index in ((Outcome.HANG, 0), (Outcome.RESET, 1)):
            step = next_step([first, BootSeen(TCG, FAILED, again)], BOTH, loadable=True)
            assert counts(step) == index

    def test_a_bisection_judges_the_rate_itself(self) -> None:
        seen = [BootSeen(KVM, FAILED)]
        assert next_step(seen, BOTH, loadable=True, sampling=Sampling.TRIAL) == Counts(0)

    def test_what_cannot_be_repeated_is_unproven(self) -> None:
        assert isinstance(next_step([BootSeen(KVM, FAILED)], (), loadable=True), Unproven)
        assert next_step([BootSeen(TCG, FAILED)], (), loadable=True) == Counts(0)


class TestEarly:
    def test_it_must_be_seen_both_ways_while_another_kernel_boots(self) -> None:
        assert freebsd((TCG, EARLY)) == Again(DIRECT)
        assert freebsd((DIRECT, EARLY)) == Again(TCG)
        assert freebsd((KVM, EARLY)) == Again(TCG)
        assert freebsd((KVM, EARLY), (TCG, EARLY)) == Again(DIRECT)
        both = ((DIRECT, EARLY), (TCG, EARLY))
        assert freebsd(*both) == Control()
        assert counts(freebsd(*both, control=True)) == 1, "the loader's, which entered the kernel"
        assert isinstance(freebsd(*both, control=False), Unproven)

    @pytest.mark.parametrize("again", [BOOTED, NOTHING])
    def test_a_repeat_that_does_otherwise_ends_it(self, again: BootResult) -> None:
        assert isinstance(freebsd((TCG, EARLY), (DIRECT, again), control=True), Unproven)

    def test_a_repeat_with_proof_of_its_own_counts(self) -> None:
        assert counts(freebsd((TCG, EARLY), (DIRECT, REPORT))) == 1
        assert counts(freebsd((DIRECT, EARLY), (TCG, FAILED))) == 1
        assert isinstance(freebsd((TCG, EARLY), (DIRECT, FAILED)), Unproven)

    def test_without_a_loader_nothing_is_proven(self) -> None:
        step = next_step([BootSeen(DIRECT, EARLY)], ONE, loadable=True, control=True)
        assert isinstance(step, Unproven)

    def test_the_built_in_guest_has_one_way_to_boot(self) -> None:
        assert built_in((DIRECT, EARLY)) == Again(DIRECT)
        assert built_in((DIRECT, EARLY), (DIRECT, EARLY)) == Control()
        assert counts(built_in((DIRECT, EARLY), (DIRECT, EARLY), control=True)) == 0

    def test_a_bisection_repeats_it_too(self) -> None:
        seen = [BootSeen(TCG, EARLY)]
        assert next_step(seen, BOTH, loadable=True, sampling=Sampling.TRIAL) == Again(DIRECT)


@given(
    first=st.tuples(WAYS, st.sampled_from(BootResult)),
    answers=st.lists(st.sampled_from(BootResult), min_size=8, max_size=8),
    control=st.booleans(),
    kernel=st.sampled_from([(BOTH, True), (ONE, True), ((), True), (ONE, False), ((), False)]),
    sampling=st.sampled_from(Sampling),
)
def test_it_ends_after_a_few_boots_and_counts_nothing_without_proof(
    first: tuple[Way, BootResult], answers: list[BootResult], control: bool,
    kernel: tuple[tuple[BootMethod, ...], bool], sampling: Sampling,
) -> None:  # fmt: skip
    methods, loadable = kernel
    seen, told = [BootSeen(*first)], None
    for answer in answers:
        step = next_step(seen, methods, loadable=loadable, sampling=sampling, control=told)
        if isinstance(step, Control):
            assert told is None
            told = control
        elif isinstance(step, Again):
            assert step.way.accelerator is Accelerator.TCG
            assert step.way.method in methods
            seen.append(BootSeen(step.way, answer))
        else:
            break
    assert isinstance(step, Counts | Unproven)
    assert len(seen) <= 3
    if seen[0].result is BOOTED:
        assert step == Counts(0)
    if isinstance(step, Counts) and seen[0].result is not BOOTED:
        assert proven(seen, step.index, methods, sampling, loadable=loadable, control=told)
    if isinstance(step, Unproven):
        assert not any(one == BootSeen(TCG, FAILED) for one in seen[:1])


def proven(
    seen: list[BootSeen], index: int, methods: tuple[BootMethod, ...], sampling: Sampling,
    *, loadable: bool, control: bool | None,
) -> bool:  # fmt: skip
    """The rule, said another way: what a failure that counts must have behind it."""
    counting = seen[index]
    if counting.result is REPORT or counting == BootSeen(TCG, FAILED):
        return True
    if counting.result is FAILED:
        again = BootSeen(TCG if BootMethod.LOADER in methods else DIRECT, FAILED)
        return sampling is Sampling.TRIAL or again in seen[1:]
    early = [one.way for one in seen if one.result is EARLY]
    both = {TCG, DIRECT} <= set(early) or (not loadable and len(early) >= 2)
    return counting.result is EARLY and both and control is True


class TestRates:
    @pytest.mark.parametrize(
        ("boots", "failures", "expected"),
        [(1, 1, True), (2, 1, False), (2, 2, True), (5, 1, False), (5, 3, False), (5, 5, True),
         (20, 6, False), (20, 15, True), (3, 0, False)],
    )  # fmt: skip
    def test_failures_that_never_repeat_are_one_ways_where_chance_does_not_explain_them(
        self, boots: int, failures: int, expected: bool
    ) -> None:
        assert one_way_only(boots, failures) is expected

    HANG = cell(Outcome.HANG, unrepeated=True, opinion="booted when repeated under tcg",
                repeats=(Repeat("again", "repeat", "k", "tcg", "loader", "booted"),))  # fmt: skip

    def outcomes(self, *cells: Cell) -> list[str]:
        return [one.verdict.outcome.value for one in settled(cells) if one.verdict]

    def test_one_of_several_counts_as_seen_once(self) -> None:
        assert self.outcomes(self.HANG, cell(), cell()) == ["hang", "booted", "booted"]
        (rate,) = rates_of([self.HANG, cell(), cell()])
        assert (rate["boots"], rate["outcomes"]) == (3, {"hang": 1, "booted": 2})

    def test_other_kernels_on_the_same_guest_are_no_repeats(self) -> None:
        """A night boots many kernels of one side."""
        kernel = cell().kernel
        assert kernel is not None
        assert rates_of([cell(kernel=replace(kernel, key=key)) for key in ("one", "other")]) == []

    def test_all_of_them_are_the_ways_and_not_the_kernels(self) -> None:
        assert self.outcomes(self.HANG, self.HANG) == ["unverified", "unverified"]

    def test_one_that_repeats_speaks_for_the_others(self) -> None:
        repeated = cell(Outcome.HANG, opinion="repeated under tcg")
        assert self.outcomes(self.HANG, self.HANG, repeated) == ["hang"] * 3

    def test_the_other_side_of_a_comparison_is_another_kernel(self) -> None:
        others = [cell(side="after") for _ in range(5)]
        assert self.outcomes(self.HANG, *others)[0] == "unverified"

    def test_a_cell_without_a_verdict_is_no_sample(self) -> None:
        assert self.outcomes(self.HANG, cell(None), cell(None)) == ["unverified"]
