"""From events and an ending to a verdict, and while the guest runs: how long to wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.console import events as e
from harness.console.eventkinds import ShutdownStep, WarningKind
from harness.console.events import Event, Frame
from harness.console.machinery import culprit
from harness.console.stages import Stage, stage_after
from harness.console.titles import scrub
from harness.outcome import Ending, Outcome, Until
from harness.verdict import Verdict, judge
from harness.watch import Limits, Watch

UP = (e.FirmwareStarted(0, "Boot0001"), e.LoaderStarted(1, "1.1"), e.KernelEntered(2, 0x100))
DONE = (e.ProbeRecord(10, 0, "begin", ()), e.ReportComplete(11, 1))


def verdict(
    *events: Event,
    ending: Ending = Ending.EXITED,
    until: Until = Until.INIT,
    symbols: Mapping[int, str] = MappingProxyType({}),
) -> Verdict:
    return judge(events, ending, until, seconds=1.5, function_at=symbols.get)


def test_complete_report_is_a_boot_to_init() -> None:
    told = verdict(*UP, *DONE)
    assert (told.outcome, told.offset, told.stage) == (Outcome.BOOTED, 11, Stage.INIT)
    assert told.seconds == 1.5


def test_report_without_its_end_is_no_boot() -> None:
    told = verdict(*UP, DONE[0])
    assert (told.outcome, told.title) == (
        Outcome.ENDED,
        "ended in the init stage without a report",
    )


@pytest.mark.parametrize(
    "event", [e.MountRoot(5, "ufs:/dev/md0"), e.MountRootPrompt(5), e.ReportComplete(5, 1)]
)
def test_mount_root_or_what_comes_after_it_is_a_boot_to_mountroot(event: Event) -> None:
    assert verdict(*UP, event, until=Until.MOUNTROOT).outcome is Outcome.BOOTED


def test_mount_root_is_no_boot_to_init() -> None:
    told = verdict(*UP, e.MountRoot(5, "ufs:/dev/md0"))
    assert told.outcome is Outcome.ENDED


def test_panic_has_the_kernels_title_and_its_frames() -> None:
    frames = (Frame("vpanic", 1), Frame("kmem_init", 2))
    told = verdict(*UP, e.Panic(5, "kmem: out", 0), e.Backtrace(6, frames))
    assert (told.outcome, told.title, told.frames) == (Outcome.PANIC, "kmem: out", frames)
    assert (told.offset, told.stage) == (5, Stage.KERNEL)


def test_panic_is_never_a_pass_not_even_after_the_goal() -> None:
    told = verdict(*UP, *DONE, e.Panic(20, "late", 0))
    assert told.outcome is Outcome.PANIC


def test_panic_beats_silence_and_reset() -> None:
    for ending in Ending:
        assert verdict(*UP, e.Panic(5, "x", 0), ending=ending).outcome is Outcome.PANIC


def test_second_panic_is_a_warning() -> None:
    told = verdict(*UP, e.Panic(5, "first", 0), e.Panic(9, "second", 0))
    assert (told.title, told.warnings) == ("first", ("panic: second",))


def test_trap_is_named_after_the_function_it_happened_in() -> None:
    frames = (Frame("vpanic", 1), Frame("native_start_all_aps", 2, entry="trap 0xc"))
    trap = e.FatalTrap(5, 12, "page fault", "kernel", instruction_pointer=0x20)
    told = verdict(*UP, trap, e.Panic(6, "page fault", 0), e.Backtrace(7, frames))
    assert (told.outcome, told.title) == (Outcome.TRAP, "page fault in native_start_all_aps")
    assert told.message == "Fatal trap 12: page fault while in kernel mode"


def test_trap_without_a_backtrace_is_named_by_the_symbols() -> None:
    trap = e.FatalTrap(5, 12, "page fault", "kernel", instruction_pointer=0x20)
    assert verdict(*UP, trap, symbols={0x20: "bar"}).title == "page fault in bar"
    assert verdict(*UP, trap).title == "page fault"


KASAN = "ASan: Invalid access, 8-byte read at 0xfffffe0012345678, MallocRedZone(fb)"
RUNTIME = (
    Frame("db_trace_self_wrapper"),
    Frame("kdb_backtrace"),
    Frame("vpanic"),
    Frame("panic"),
    Frame("kasan_report"),
    Frame("__asan_load8_noabort"),
)


def test_kasan_title_has_kind_and_function_but_no_size_and_no_address() -> None:
    frames = (*RUNTIME, Frame("keg_fetch_slab", 0x10), Frame("zone_import"))
    told = verdict(*UP, e.Panic(5, KASAN, 0), e.Backtrace(6, frames))
    assert told.outcome is Outcome.KASAN
    assert told.title == "ASan: Invalid access, read, MallocRedZone in keg_fetch_slab"
    assert told.message == KASAN


@pytest.mark.parametrize(
    ("message", "title"),
    [
        (
            "MSan: uninitialized variable in 0xffffffff80e2ff4a",
            "MSan: uninitialized variable in statclock",
        ),
        (
            "MSan: Uninitialized UMA memory from foo+0x12",
            "MSan: Uninitialized UMA memory from foo in statclock",
        ),
        (
            "MSan: Uninitialized variable 'x' from foo",
            "MSan: Uninitialized variable 'x' from foo in statclock",
        ),
        (
            "MSan: Uninitialized stack memory, origin 7f",
            "MSan: Uninitialized stack memory in statclock",
        ),
        (
            "MSan: Uninitialized malloc memory in copyout, offset 4/16, addr 0xfffffe0012345678,"
            " from foo+0x12",
            "MSan: Uninitialized malloc memory in copyout, from foo in statclock",
        ),
    ],
)
def test_kmsan_title_names_functions_for_addresses(message: str, title: str) -> None:
    frames = (Frame("vpanic"), Frame("__msan_warning"), Frame("statclock", 0x1EA))
    told = verdict(*UP, e.Panic(5, message, 0), e.Backtrace(6, frames))
    assert (told.outcome, told.title) == (Outcome.KMSAN, title)


def test_kmsan_title_prefers_what_the_symbols_say_of_the_address() -> None:
    event = e.Panic(5, "MSan: uninitialized variable in 0xffffffff80e2ff4a", 0)
    told = verdict(*UP, event, symbols={0xFFFFFFFF80E2FF4A: "statclock"})
    assert told.title == "MSan: uninitialized variable in statclock"


def test_report_that_the_kernel_survived_is_no_pass() -> None:
    told = verdict(*UP, e.SanitizerReport(5, "kasan", KASAN), *DONE)
    assert told.outcome is Outcome.KASAN


def test_panic_after_a_report_that_was_survived_is_the_cause() -> None:
    report = e.SanitizerReport(5, "kmsan", "MSan: uninitialized variable in 0x1")
    told = verdict(*UP, report, e.Panic(9, "out", 0))
    assert (told.outcome, told.warnings) == (Outcome.PANIC, (report.message,))


@pytest.mark.parametrize(
    ("ending", "outcome", "title"),
    [
        (Ending.SILENCE, Outcome.HANG, "silent in the CPUs stage"),
        (Ending.DEADLINE, Outcome.HANG, "the CPUs stage took too long"),
        (Ending.TIMEOUT, Outcome.HANG, "--timeout expired in the CPUs stage"),
        (Ending.RESET, Outcome.RESET, "reset in the CPUs stage"),
        (Ending.EXITED, Outcome.ENDED, "ended in the CPUs stage without a report"),
        (Ending.INTERRUPTED, Outcome.ENDED, "interrupted in the CPUs stage"),
    ],
)
def test_kernel_that_stops_without_a_word_is_judged_by_its_ending(
    ending: Ending, outcome: Outcome, title: str
) -> None:
    told = verdict(*UP, e.CpusLaunched(5, (1,)), ending=ending)
    assert (told.outcome, told.title) == (outcome, title)
    assert not told.blames_host


def test_firmware_seen_again_is_a_reset_though_the_guest_went_on() -> None:
    told = verdict(*UP, e.FirmwareStarted(50, "Boot0001"), ending=Ending.SILENCE)
    assert (told.outcome, told.offset) == (Outcome.RESET, 50)


def test_reset_that_the_kernel_asked_for_is_an_end() -> None:
    told = verdict(*UP, e.Shutdown(5, ShutdownStep.REBOOTING), ending=Ending.RESET)
    assert told.outcome is Outcome.ENDED


@pytest.mark.parametrize(
    ("events", "title"),
    [
        ((e.DebuggerEntered(5, "manual escape"), e.DebuggerPrompt(6)), "debugger: manual escape"),
        ((e.DebuggerPrompt(6),), "debugger"),
    ],
)
def test_debugger_without_a_panic_is_its_own_outcome(events: tuple[Event, ...], title: str) -> None:
    told = verdict(*UP, *events, ending=Ending.STOPPED)
    assert (told.outcome, told.title) == (Outcome.DEBUGGER, title)


def test_debugger_after_a_panic_is_the_panic() -> None:
    told = verdict(*UP, e.Panic(4, "x", 0), e.DebuggerEntered(5, "panic"), e.DebuggerPrompt(6))
    assert told.outcome is Outcome.PANIC


def test_kernel_without_a_root_hangs_and_says_what_failed() -> None:
    failed = e.MountRootFailed(5, "ufs:/dev/md0", 22, retrying=False)
    told = verdict(*UP, failed, e.MountRootPrompt(6), ending=Ending.STOPPED)
    assert (told.outcome, told.title) == (Outcome.HANG, "no root was mounted")
    assert told.message == "ufs:/dev/md0 failed with error 22"


@pytest.mark.parametrize("ending", list(Ending))
def test_what_dies_before_the_kernel_is_the_hosts_failure(ending: Ending) -> None:
    firmware = verdict(ending=ending)
    loader = verdict(*UP[:2], ending=ending)
    assert (firmware.outcome, firmware.blames_host) == (Outcome.FIRMWARE, True)
    assert (loader.outcome, loader.blames_host) == (Outcome.LOADER, True)


def test_loaders_last_complaint_is_the_title() -> None:
    complaint = e.LoaderFailed(5, "can't find '/boot/nothing'")
    told = verdict(*UP[:2], complaint, e.LoaderPrompt(6), ending=Ending.STOPPED)
    assert (told.title, told.offset) == ("can't find '/boot/nothing'", 5)


def test_exception_in_the_firmware_after_the_kernel_was_entered_is_the_kernels_failure() -> None:
    exception = e.FirmwareException(5, 14, "#PF - Page-Fault")
    entered, not_entered = verdict(*UP, exception), verdict(*UP[:2], exception)
    assert entered.outcome is not_entered.outcome is Outcome.FIRMWARE
    assert (entered.blames_host, not_entered.blames_host) == (False, True)


def test_a_hypervisors_word_explains_an_end_without_a_report_and_nothing_else() -> None:
    stopped = e.GuestStopped(5, "triple fault")
    ended = verdict(*UP, stopped, ending=Ending.EXITED)
    assert (ended.outcome, ended.title) == (Outcome.RESET, "triple fault in the kernel stage")
    claimed = verdict(*UP, stopped, ending=Ending.SILENCE)  # a guest prints what it likes
    assert claimed.outcome is Outcome.HANG


def test_guest_that_starts_in_its_kernel_is_never_the_hosts_failure() -> None:
    told = judge((), Ending.SILENCE, Until.INIT, first_stage=Stage.KERNEL)
    assert (told.outcome, told.blames_host) == (Outcome.HANG, False)


def test_warnings_are_told_once_each_and_leave_the_verdict_alone() -> None:
    warning = e.KernelWarning(3, WarningKind.OTHER, "WARNING: careful")
    reversal = e.LockOrderReversal(4, ("a", "b"), "lock order reversal:")
    srat = e.SratRefused(5, "No CPU found for memory domain 1")
    told = verdict(*UP, warning, warning, reversal, srat, *DONE)
    assert told.outcome is Outcome.BOOTED
    assert told.warnings == (
        "WARNING: careful",
        "lock order reversal: a; b",
        "SRAT refused, all memory is one domain: No CPU found for memory domain 1",
    )


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("vm_map_entry_create: kernel resources exhausted",) * 2,
        (
            "vm_fault_lookup: fault on nofault entry, addr: 0xfffffe0001234000",
            "vm_fault_lookup: fault on nofault entry, addr: ADDR",
        ),
        (
            "mutex foo not owned at /usr/home/me/src/sys/kern/kern_mutex.c:312",
            "mutex foo not owned at sys/kern/kern_mutex.c",
        ),
        ("pid 17 (init) on CPU 3: bad uma2 item", "pid N (init) on CPU N: bad uma2 item"),
        ("double free of fffffe0001234000", "double free of ADDR"),
        ("AP #3 (PHY# 7) failed!", "AP #N (PHY# N) failed!"),
    ],
)
def test_title_has_no_addresses_numbers_and_build_paths(message: str, title: str) -> None:
    assert scrub(message) == title


@given(st.text())
def test_scrubbing_a_title_again_changes_nothing(message: str) -> None:
    assert scrub(scrub(message)) == scrub(message)


def test_culprit_is_none_where_all_frames_only_report() -> None:
    assert culprit(RUNTIME) is None


def test_stages_only_go_forward_but_for_a_reset() -> None:
    assert stage_after(Stage.ROOT, e.DeviceScan(0, "pci0")) is Stage.ROOT
    assert stage_after(Stage.ROOT, e.FirmwareStarted(0, "Boot0001")) is Stage.FIRMWARE


# While the guest runs: times in seconds, all given


LIMITS = Limits(
    firmware=20, loader=20, kernel=50, silence=15, grace=5, farewell=2, shutdown=30, init=30
)


def watch(limits: Limits = LIMITS) -> Watch:
    return Watch(limits, started=100.0)


def test_watch_waits_for_the_first_of_silence_and_the_stages_end() -> None:
    guest = watch()
    assert guest.deadline() == 115.0
    guest.observe([], 110.0)
    assert guest.deadline() == 120.0
    assert guest.decision(119.9) is None
    assert guest.decision(120.0) is Ending.DEADLINE


def test_watch_stops_a_guest_that_says_nothing() -> None:
    assert watch().decision(114.9) is None
    assert watch().decision(115.0) is Ending.SILENCE


def test_watch_gives_each_stage_its_own_time() -> None:
    guest = watch()
    guest.observe(UP[:2], 112.0)
    guest.observe([], 125.0)
    assert guest.stage is Stage.LOADER
    assert guest.decision(131.0) is None
    assert guest.decision(132.0) is Ending.DEADLINE


def test_slow_accelerator_stretches_every_limit() -> None:
    slow = watch(limits=Limits(firmware=20, silence=15, grace=5, factor=3))
    assert slow.deadline() == 145.0
    slow.observe([e.Panic(5, "x", 0)], 110.0)
    assert slow.deadline() == 125.0


def test_panic_gets_a_grace_for_its_backtrace() -> None:
    guest = watch()
    guest.observe([*UP, e.Panic(5, "x", 0)], 101.0)
    guest.observe([e.Backtrace(6, ())], 103.0)
    assert guest.decision(105.9) is None
    assert guest.decision(106.0) is Ending.STOPPED


@pytest.mark.parametrize(
    "event",
    [
        e.Shutdown(9, ShutdownStep.UPTIME),
        e.DebuggerEntered(9, "panic"),
        e.DebuggerPrompt(9),
    ],
)
def test_panic_that_has_told_all_is_stopped_at_once(event: Event) -> None:
    guest = watch()
    guest.observe([*UP, e.Panic(5, "x", 0), event], 101.0)
    assert guest.decision(101.0) is Ending.STOPPED
    assert guest.deadline() <= 101.0


@pytest.mark.parametrize(
    "event", [e.DebuggerPrompt(9), e.LoaderPrompt(9), e.MountRootPrompt(9), e.FirmwareFailed(9, "")]
)
def test_guest_that_waits_for_a_human_is_stopped_at_once(event: Event) -> None:
    guest = watch()
    guest.observe([*UP, event], 101.0)
    assert guest.decision(101.0) is Ending.STOPPED


def test_guest_that_has_reported_gets_time_to_end_by_itself() -> None:
    guest = watch()
    guest.observe([*UP, *DONE], 101.0)
    guest.observe([e.Shutdown(20, ShutdownStep.UPTIME)], 102.0)
    assert guest.decision(102.9) is None
    assert guest.decision(103.0) is Ending.STOPPED


def test_panic_after_the_report_still_gets_its_grace() -> None:
    guest = watch()
    guest.observe([*UP, *DONE], 101.0)
    guest.observe([e.Panic(20, "late", 0)], 102.0)
    assert guest.decision(106.9) is None
    assert guest.decision(107.0) is not None


def test_guest_that_mounts_its_root_goes_on_to_its_report() -> None:
    guest = watch()
    guest.observe([*UP, e.MountRoot(9, "ufs:/dev/md0")], 101.0)
    assert guest.decision(101.0) is None
    assert not guest.arrived


def test_firmware_seen_again_stops_the_guest_as_reset() -> None:
    guest = watch()
    guest.observe([*UP, e.FirmwareStarted(50, "Boot0001")], 101.0)
    assert guest.decision(101.0) is Ending.RESET


instants = st.floats(0, 1e6, allow_nan=False)


@given(st.lists(st.tuples(instants, st.sampled_from([*UP, *DONE, e.Panic(5, "x", 0)]))), instants)
def test_deadline_is_the_moment_at_which_the_decision_falls(
    told: list[tuple[float, Event]], wait: float
) -> None:
    """A driver that sleeps until the deadline neither misses a decision nor spins."""
    guest = Watch(Limits(), started=0.0)
    now = 0.0
    for pause, event in told:
        now += pause
        guest.observe([event], now)
    deadline = guest.deadline()
    assert guest.decision(deadline) is not None
    if now + wait < deadline:
        assert guest.decision(now + wait) is None


def test_an_unverified_boot_says_nothing_about_the_kernel() -> None:
    verdict = Verdict(Outcome.UNVERIFIED, "no nonce", Stage.INIT, kernel_entered=True)
    assert verdict.blames_host
