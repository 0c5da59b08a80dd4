"""Rules that hold for all consoles of a kind, however functions and messages are named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.boot.logs import judge_log
from harness.console.machinery import culprit, is_machinery
from harness.console.parser import ConsoleParser
from harness.console.pattern import Name, pattern
from harness.console.patterns import PATTERNS
from harness.console.titles import scrub
from harness.outcome import Outcome, Until
from harness.results.logs import JudgedLog, worst_exit_code
from harness.verdict import Verdict

BANNER = (
    "---<<BOOT>>---\n"
    "FreeBSD 15.1-RELEASE #0 n280000: Mon Jan  5 10:00:00 UTC 2026\n"
    "    builder@example.org:/usr/obj/usr/src/amd64.amd64/sys/GENERIC amd64\n"
)
LOADER = "FreeBSD/amd64 EFI loader, Revision 3.0\n"
THREAD_ENDS = "--- trap 0, rip = 0, rsp = 0, rbp = 0 ---"
LOCKS = ("_sx_xlock", "__mtx_lock_flags", "__rw_wlock_hard", "_rm_rlock_debug", "__mtx_assert",
         "lockmgr_xlock_hard", "sx_destroy", "_mtx_destroy", "witness_checkorder", "sleepq_add",
         "uma_zfree_arg", "free", "vm_fault", "pmap_enter", "kmem_malloc", "malloc",
         "turnstile_wait", "propagate_priority", "_epoch_enter_preempt", "smr_poll",
         "rangelock_unlock", "vm_page_free_prep", "mtrash_ctor")  # fmt: skip
SUFFIXES = ("", ".30", ".isra.0", ".constprop.1", ".part.0", ".cold", ".llvm.1234567")

names = st.from_regex(r"[a-z]{3,8}_[a-z]{3,10}", fullmatch=True).map(lambda name: f"zq{name}")
addresses = st.integers(0xFFFFFFFF80200000, 0xFFFFFFFF82FFFFFF)


def judged(console: str, until: Until = Until.MOUNTROOT) -> Verdict:
    return judge_log([console.encode()], until, None)


def ddb(*functions: str) -> str:
    lines = [
        f
        if f.startswith("---")
        else f"{f}() at {f}+{0x10 + i:#x}/frame {0xFFFFFE0000001000 + i:#x}"
        for i, f in enumerate(functions)
    ]
    return "".join(f"{line}\n" for line in lines)


def stack9(*functions: str) -> str:
    return "".join(
        f"#{i} {0xFFFFFFFF80B00000 + i * 0x111:#x} at {f}+{0x40 + i:#x}\n"
        for i, f in enumerate(functions)
    )


def panic(message: str, frames: str, cpu: int = 1) -> str:
    return f"panic: {message}\ncpuid = {cpu}\ntime = 1\nKDB: stack backtrace:\n{frames}"


def trap_table(cpu: int = 1, pointer: int = 0xFFFFFFFF80D04F1B) -> str:
    return (
        "Fatal trap 12: page fault while in kernel mode\n"
        f"cpuid = {cpu}; apic id = 0{cpu}\n"
        "fault virtual address\t= 0x10\n"
        f"instruction pointer\t= 0x20:{pointer:#x}\n"
        "trap number\t\t= 12\n"
    )


HEADS = ("vpanic", "panic")
TRAP_HEADS = (*HEADS, "trap_fatal", "trap_pfault", "trap", "calltrap")


@given(names, names, st.sampled_from(SUFFIXES), st.lists(st.sampled_from(LOCKS), min_size=1))
def test_panic_of_machinery_names_the_first_function_outside_it(
    caller: str, beyond: str, suffix: str, machinery: list[str]
) -> None:
    frames = (*HEADS, "kassert_panic", *machinery, f"{caller}{suffix}", beyond, "fork_exit")
    for printed in (ddb(*frames), stack9(*frames)):
        told = judged(BANNER + panic("something is still held", printed))
        assert (told.outcome, told.title) == (
            Outcome.PANIC,
            f"something is still held in {caller}",
        )


@given(names, names)
def test_panic_of_any_other_function_names_it_once(reporter: str, caller: str) -> None:
    frames = ddb(*HEADS, reporter, caller)
    assert judged(BANNER + panic("bad ring", frames)).title == f"bad ring in {reporter}"
    for message in (f"{reporter}: bad ring", f"{reporter.partition('_')[0]}: bad ring"):
        assert judged(BANNER + panic(message, frames)).title == message


@given(names, names, st.sampled_from(SUFFIXES), addresses)
def test_trap_is_named_after_what_calltrap_interrupted(
    place: str, caller: str, suffix: str, pointer: int
) -> None:
    entry = f"--- trap 0xc, rip = {pointer:#x}, rsp = 0x1, rbp = 0x2 ---"
    told = [
        judged(BANNER + trap_table(pointer=pointer) + panic("page fault", frames))
        for frames in (
            stack9("kdb_backtrace", *TRAP_HEADS, place + suffix, caller, "fork_exit"),
            ddb(*TRAP_HEADS, entry, place + suffix, caller, "fork_exit", THREAD_ENDS),
        )
    ]
    assert {(each.outcome, each.title) for each in told} == {
        (Outcome.TRAP, f"page fault in {place}")
    }


@given(names, names, st.sampled_from([0, 8, 0xDEADC0DEDEADC0DE]))
def test_call_through_a_bad_pointer_names_its_caller(caller: str, root: str, pointer: int) -> None:
    entry = f"--- trap 0xc, rip = {pointer:#x}, rsp = 0x1, rbp = 0x2 ---".replace("0x0,", "0,")
    where = f"{pointer:#x}" if pointer else "0"
    frames = (
        ddb(*TRAP_HEADS, entry)
        + f"??() at {where}/frame 0xfffffe0000002000\n"
        + ddb(caller, root, "fork_exit", THREAD_ENDS)
    )
    told = judged(BANNER + trap_table(pointer=pointer) + panic("page fault", frames))
    assert told.title.startswith(f"page fault in {caller}, calling a ")
    assert [frame.function for frame in told.frames][-3:] == [caller, root, "fork_exit"]


@given(names, names, st.booleans())
def test_of_two_cpus_the_one_with_the_backtrace_counts(
    other: str, culprit_name: str, table: bool
) -> None:
    first = trap_table(cpu=0) if table else "Fatal trap 12: page fault while in kernel mode\n"
    frames = ddb(*HEADS, culprit_name, other)
    told = judged(BANNER + first + panic(f"{culprit_name}: bad state", frames, cpu=3))
    assert (told.outcome, told.title) == (Outcome.PANIC, f"{culprit_name}: bad state")
    assert told.titles == ("page fault", f"{culprit_name}: bad state")


@given(names, names)
def test_frames_of_a_warning_are_not_those_of_the_panic(lor: str, reporter: str) -> None:
    warning = (
        "lock order reversal:\n 1st 0x1 a (a, sx) @ a.c:1\n 2nd 0x2 b (b, sx) @ b.c:2\n"
        "stack backtrace:\n" + stack9("witness_debugger", "witness_checkorder", lor)
    )
    told = judged(BANNER + warning + "panic: out of rings\ncpuid = 1\ntime = 1\nUptime: 1s\n")
    assert (told.title, told.frames) == ("out of rings", ())
    told = judged(BANNER + warning + panic("out of rings", ddb(*HEADS, reporter)))
    assert [frame.function for frame in told.frames] == [*HEADS, reporter]


@given(names, st.sampled_from(["cpuid = 1\n", ""]))
def test_panic_before_the_kernel_is_the_loaders_unless_a_kernel_shows(
    name: str, proof: str
) -> None:
    told = judged(f"{LOADER}panic: {name}: out of memory\n{proof}")
    expected = Outcome.PANIC if proof else Outcome.LOADER
    assert (told.outcome, told.title) == (expected, f"{name}: out of memory")
    assert told.kernel_entered is bool(proof)


@given(st.sampled_from(["exec returned", "free: guard1 fail @ 0x7e112230 from unknown:0"]))
def test_panic_that_waits_for_a_key_is_the_loaders(message: str) -> None:
    console = f"{LOADER}Start @ 0xffffffff80386000 ...\npanic: {message}\n"
    told = judged(f"{console}--> Press a key on the console to reboot <--\nRebooting...\n")
    assert (told.outcome, told.title) == (Outcome.LOADER, scrub(message))
    assert not told.kernel_entered


PREFIXES = (
    "[87] ", "[12.000345] ", "[    0.123456] ", "<2>", "<118>", "Jan  5 10:00:00 host kernel: ",
    "Jan 15 10:00:00 kernel: ", "2026-01-05T10:00:00.1234567Z ", "2026-01-05 10:00:00 ",
    "10:00:00 ", "[Mon Jan  5 10:00:00 2026] ", "<2>Jan  5 10:00:00 host kernel: [87] ",
    "<2>1 2026-01-05T10:00:00.000000+00:00 host kernel - - - ",
)  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_and_line_ends_change_nothing(prefix: str, end: str) -> None:
    frames = ddb(*HEADS, "_sx_xlock", "gadget_open")
    console = BANNER + trap_table() + panic("page fault", ddb(*TRAP_HEADS, "gadget_rx"))
    for text in (console, BANNER + panic("lock held", frames) + "Uptime: 1s\n"):
        lines = "".join(f"{prefix}{line}{end}" for line in text.splitlines())
        assert judged(lines).title == judged(text).title
        assert judged(lines).frames == judged(text).frames


@given(
    st.sampled_from(["/wrkdirs/usr/ports/misc/x/work/x-1.2", "/home/me/src", "/usr/src/sys/../y"]),
    names,
    st.integers(1, 99999),
)
def test_titles_have_no_build_paths_and_no_lines(root: str, file: str, line: int) -> None:
    title = scrub(f"lock held @ {root}/drivers/{file}.c:{line}")
    assert title == f"lock held @ {file}.c"
    assert scrub(f"held @ {root}/sys/dev/{file}.c:{line}") == f"held @ sys/dev/{file}.c"


@given(names, st.data())
def test_a_frame_torn_by_another_line_is_none(name: str, data: st.DataObject) -> None:
    """What stands in a frame's line twice, or is cut off, makes no frame of another name."""
    whole = data.draw(st.sampled_from([ddb(name), stack9(name)])).rstrip("\n")
    cut = data.draw(st.integers(1, len(whole) - 1))
    torn = f"{whole[:cut]}{whole}\n"
    told = judged(f"{BANNER}panic: x\ncpuid = 1\ntime = 1\nKDB: stack backtrace:\n{torn}")
    assert told.frames == ()


def test_unproven_panic_of_a_program_is_no_failure() -> None:
    program = "panic: runtime error\n\ngoroutine 1 [running]:\nmain.main()\n"
    assert judged(f"{BANNER}{program}").outcome is Outcome.ENDED
    told = judged(f"{BANNER}savecore 41 - - reboot after panic: page fault\n")
    assert told.outcome is Outcome.ENDED


@pytest.mark.parametrize("until", list(Until))
def test_login_prompt_satisfies_any_goal(until: Until) -> None:
    assert (
        judged(f"{BANNER}\nFreeBSD/amd64 (x) (ttyu0)\n\nlogin: ", until).outcome is Outcome.BOOTED
    )


@pytest.mark.parametrize(
    "console", ["", "\n\n", "\0\1\2\xff" * 1000, "a text\nof something\n", "x" * 200_000]
)
def test_what_is_no_console_shows_nothing(console: str) -> None:
    told = judged(console)
    assert (told.outcome, told.kernel_entered) == (Outcome.ENDED, False)


def test_worst_of_several_logs() -> None:
    booted = judged(f"{BANNER}Trying to mount root from ufs:/dev/md0 []...\n")
    failed = judged(BANNER + panic("x", ""))
    ended = judged(BANNER)
    codes = {
        name: worst_exit_code([JudgedLog("f", verdict) for verdict in verdicts])
        for name, verdicts in {
            "all": (booted, ended, failed),
            "ended": (booted, ended),
            "booted": (booted, booted),
        }.items()
    }
    assert codes == {"all": 1, "ended": 3, "booted": 0}


@pytest.mark.parametrize(
    "line",
    [
        "Launching APs: " + "7" * 5000,
        "Launching APs: " + "7 " * 5000,
        "Fatal trap " + "9" * 5000 + ": x while in kernel mode",
        "cpuid = " + "1" * 5000,
        "Tracing pid 1 tid " + "1" * 5000 + " td 0x0",
        "SRAT: mem dom " + "1" * 5000 + " is empty",
        "#" + "1" * 5000 + " 0xffffffff80b00000 at x+0x1",
        "Mounting from x failed with error " + "1" * 5000,
        "x() at x+0x" + "1" * 5000,
        "FreeBSD " + "1" * 5000 + ".1-x y",
    ],
)
def test_numbers_of_any_length_are_read_or_left(line: str) -> None:
    events = ConsoleParser().feed(f"{line}\n{line}\npanic: x\ncpuid = 1\ntime = 1\n".encode())
    assert "ParseFailed" not in {type(event).__name__ for event in events}
    assert "Panic" in {type(event).__name__ for event in events}


def test_exception_in_the_parser_is_an_event_and_the_rest_is_read() -> None:
    def fails(offset: int, found: object) -> None:
        raise RecursionError(f"at {offset} {found}")

    broken = pattern(Name.WARNING, "odd line", "odd line", fails)  # type: ignore[arg-type]
    parser = ConsoleParser((broken, *PATTERNS))
    console = f"{BANNER}an odd line\n{panic('out of luck', ddb(*HEADS, 'gadget_x'))}"
    events = parser.feed(console.encode()) + parser.close()
    told = {type(event).__name__: event for event in events}
    assert "an odd line" in repr(told["ParseFailed"])
    assert {"KernelStarted", "Panic", "Backtrace"} <= told.keys()


def test_names_of_subsystems_are_told_from_others() -> None:
    assert all(is_machinery(name) for name in LOCKS)
    assert not any(
        is_machinery(name)
        for name in ("rl_attach", "stress_copy", "cache_lookup", "rman_init", "device_attach",
                     "kobj_method_cache", "mtxpool", "vfs_mountroot", "sys_read", "ffs_alloc",
                     "tcp_output", "softclock_call_cc", "bt_attach", "lock_widget")
    )  # fmt: skip
    assert culprit(()) is None
