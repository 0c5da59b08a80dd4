"""Functions of a backtrace that do not explain it: reporting, locking and memory management.

A panic in a lock or an allocator is explained by the function that called it. FreeBSD's functions
have the prefix of their subsystem, so names are enough to recognize such functions. Each family
below names the source files, of 13.2 and 15.1, that its functions are defined in. Suffixes that a
compiler appends to a name (``.isra.0``, ``.cold``, ``.30``) are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness import arch
from harness.console.events import UNKNOWN_FUNCTION, Frame
from harness.sanitizers import TABLE


def _family(*names: str) -> re.Pattern[str]:
    return re.compile("|".join(names), re.ASCII)


_REPORT = _family(
    # sys/kern/kern_shutdown.c, subr_kdb.c, subr_stack.c, stack_protector.c, sys/ddb
    r"v?panic|kassert_panic|kern_reboot|doadump|kdb_\w+|db_\w+|stack_\w+|__stack_chk_fail",
    *(row.reporters for row in TABLE),
    # sys/kern/subr_witness.c, kern_clock.c
    r"witness_\w+|deadlkres|deadlres_\w+",
    # OpenZFS' and LinuxKPI's assertions
    r"(?:linux_)?dump_stack|linux_dump_stack|assfail\d?|spl_(?:panic|assert)\w*|v?cmn_err"
    r"|vpanic\w*|breakpoint",
)
"""Functions from the failed check to the backtrace."""

_TRAP = _family(
    *(functions for row in arch.TABLE for functions in row.console.traps),
    # sys/arm64/arm64/trap.c, undefined.c, exception.S; sys/arm/arm/trap-v[46].c, undefined.c
    r"do_(?:el[01]h?_\w+|serror)|handle_(?:el[01]h?_\w+|serror|moe)|unhandled_exception",
    r"(?:data|align|external|prefetch|undefined)_abort\w*|abort_(?:handler|fatal|align|icache|debug)",
    r"abort_imprecise|dab_\w+|undef_insn|undefinedinstr\w*|fpe_trap",
    # sys/riscv/riscv/trap.c, exception.S; sys/powerpc/powerpc/trap.c, sys/powerpc/*/trap_subr*.S
    r"page_fault_handler|do_trap_(?:supervisor|user)|cpu_exception_handler(?:_\w+)?",
    r"trap_pfault|s_trap|powerpc_(?:dispatch_intr|interrupt)|k_trap",
)
"""Functions from the trap's vector to trap_fatal()."""

_TRAP_VECTOR = _family(
    *(row.console.vectors for row in arch.TABLE),
    r"handle_el[01]h?_\w+",
)

_ASYNCHRONOUS = _family(r"nmi_\w+|mchk_\w+|mca_\w+|watchdog_fire|hardclock\w*")
"""Handlers that interrupt any function, which therefore does not explain the failure."""

_LOCK = _family(
    # sys/kern/kern_mutex.c, kern_sx.c, kern_rwlock.c, kern_rmlock.c, kern_lock.c, subr_lock.c
    r"_*(?:mtx|sx|rw|rms?|lockmgr|lock_class|lock_object|thread_lock)_\w+|_*thread_lock",
    r"(?:assert|lock|unlock|trylock|owner)_(?:mtx|spin|sx|rw|rm|lockmgr)",
    r"lock(?:init|destroy|status|allow\w+|disable\w+)|lock_(?:init|destroy|delay|prof)\w*",
    # subr_turnstile.c, subr_sleepqueue.c, kern_condvar.c, kern_synch.c, kern_sema.c, subr_epoch.c,
    # subr_smr.c, kern_rangelock.c, kern_switch.c, sys/sys/refcount.h
    r"turnstile_\w+|propagate_(?:priority|unlock)\w*|sleepq_\w+|_?cv_\w+|_sleep|msleep\w*|pause(?:_sbt|_sig)?",
    r"wakeup(?:_\w+)?|mi_switch|setrunnable|_?sema_\w+|_?epoch_\w+|in_epoch\w*|smr_\w+",
    r"_?rangelock_\w+|rl_[eqrw]_\w+|rl_(?:insert|conflict)\w*|rlqentry_\w+",
    r"critical_(?:enter|exit)\w*|spinlock_(?:enter|exit)|_?refcount_\w+|_?blockcount_\w+",
    # sys/kern/vfs_default.c, vfs_vnops.c, vfs_subr.c; OpenZFS' and LinuxKPI's locks
    r"vop_std(?:un)?lock|VOP_\w+_APV|_?vn_lock\w*|assert_v(?:i|op)_\w+"
    r"|vfs_badlock|vop_\w+_debug(?:pre|post|prepost)",
    r"mutex_\w+|rrw_\w+|rrm_\w+|linux_(?:mutex|down|up|ww_mutex|spin)_\w+",
)

_MEMORY = _family(
    # sys/vm, sys/*/*/pmap.c
    r"_?vm_\w+|vmspace_\w+|uma_\w+|(?:zone|keg|bucket|slab)_\w+|kmem_\w+|kva_\w+|pmap_\w+",
    r"(?:pcpu_)?cache_(?:alloc|free|fetch|drain|shrink|bucket)\w*|item_(?:ctor|dtor|domain)",
    r"m?trash_\w+|slabzone|check_align_mask",
    r"(?:swap|vnode|phys|dev|sg|default|dead|cdev|swp)_pager_\w+|memguard_\w+|redzone_\w+",
    r"(?:noobj|(?:pcpu_)?page|contig|hash|startup|kmapent)_(?:alloc|free|expand)\w*|zero_init",
    r"(?:zfs|spl)?_kmem_\w+|kmap_(?:alloc|free)\w*|fault_(?:deallocate|page_\w+)|qc_(?:import|release|drain|init|destroy)",
    # sys/kern/kern_malloc.c, subr_vmem.c, kern_mbuf.c; LinuxKPI's
    r"malloc(?:_\w+|array\w*)?|_?z?free|free_(?:dbg|large|save_type)|realloc\w*",
    r"contig(?:malloc|free)\w*|vmem_\w+|_?bt_(?:alloc|fill|free|ins|rem|is|save|restore)\w*",
    r"bt_(?:hashhead|lookupbusy|type_string|dump)|mtp_[gs]et_subzone",
    r"mb_(?:free|dtor|ctor|zinit|zfini|unmapped|reclaim)\w*|m_freem?",
    r"(?:linux_|lkpi_)_*(?:k|v|dma_)\w*(?:alloc|free)\w*|_*kv?[mz]?(?:alloc|free)\w*",
)

_LIBRARY = _family(
    # sys/*/*/support.S, copyout.c, sys/libkern, sys/kern/subr_uio.c, subr_prf.c
    r"mem(?:cpy|move|set|cmp|cchr|chr)\w*|b(?:copy|zero|cmp)|copystr\w*",
    r"str(?:n?len|n?(?:case)?cmp|[ln]?cpy|[ln]?cat|r?chr|n?str|n?dup|sep|c?spn|pbrk|tou?(?:l|q|max))",
    r"copy(?:in|out)\w*|[fs]u(?:byte|e?word)\w*|casueword\w*|uiomove\w*|page(?:zero|copy)\w*",
    r"atomic_\w+|_?v?s?n?printf|kvprintf|v?log|sbuf_\w+|qsort\w*",
)

_ROOT = _family(
    # sys/kern/kern_fork.c, init_main.c, kern_intr.c, sys/*/*/locore.S
    r"fork_(?:exit|trampoline)|mi_startup|begin|ithread_(?:loop|execute_handlers)",
    *(functions for row in arch.TABLE for functions in row.console.roots),
    r"svc_handler|handle_el0_\w+|virtdone|va\d*|start_init",
)
"""Functions in which threads start."""

_MACHINERY = (_REPORT, _TRAP, _LOCK, _MEMORY, _LIBRARY)

_PANIC = _family(r"v?panic", *(row.console.panics for row in arch.TABLE))
_WARN = _family(r"(?:linux_)?dump_stack|witness_(?:debugger|warn)")

# GCC's and LLVM's: foo.isra.0, foo.constprop.1, foo.part.0, foo.cold, foo.llvm.123, foo.30
_COMPILERS = re.compile(r"(?<=\w)(?:\.[A-Za-z_0-9$]+)+\Z", re.ASCII)


def plain(function: str) -> str:
    """Return a function's name as in its source."""
    return _COMPILERS.sub("", function)


def is_machinery(function: str) -> bool:
    """Return whether ``function`` reports, traps, locks, manages memory or copies."""
    return any(family.fullmatch(function) for family in _MACHINERY)


def reports(function: str) -> bool:
    """Return whether ``function`` is called between a failed check and the backtrace."""
    return bool(_REPORT.fullmatch(function))


def shows_panic(frames: Iterable[Frame]) -> bool:
    """Return whether a backtrace is that of a panic or a fatal trap."""
    return any(_PANIC.fullmatch(plain(frame.function)) for frame in frames)


def shows_warning(frames: Sequence[Frame]) -> bool:
    """Return whether a backtrace starts with a function that prints it and continues."""
    return any(_WARN.fullmatch(plain(frame.function)) for frame in frames[:2])


def culprit(frames: Iterable[Frame]) -> str | None:
    """Return the innermost function that is not machinery, or None."""
    for function in _names(frames):
        if _ROOT.fullmatch(function):
            return None
        if not is_machinery(function):
            return function
    return None


def site(frames: Iterable[Frame]) -> str | None:
    """Return the innermost function that neither reports, traps nor copies."""
    for function in _names(frames):
        if not any(family.fullmatch(function) for family in (_REPORT, _TRAP, _LIBRARY)):
            return function if _ROOT.fullmatch(function) is None else None
    return None


def reporter(frames: Sequence[Frame]) -> str | None:
    """Return the function that detected a fault and panicked; None for an asynchronous handler."""
    name = next((name for name in _names(frames) if not reports(name)), None)
    return None if name is None or _ASYNCHRONOUS.fullmatch(name) else name


def trapped(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return the frames that a trap interrupted, innermost first; without a trap, all but reports.

    DDB prints how the kernel was entered; stack(9) prints the vector's name only.
    """
    for index, frame in enumerate(frames):
        if frame.entry.startswith("trap") and not _is_breakpoint(frame):
            return frames[index:]
    for index, frame in enumerate(frames):
        if _TRAP_VECTOR.fullmatch(plain(frame.function)):
            return frames[index + 1 :]
    return _past_reports(frames)


def faulted(frames: Sequence[Frame]) -> str | None:
    """Return the function that a trap interrupted; None without a trap's vector."""
    if not any(_TRAP_VECTOR.fullmatch(plain(frame.function)) for frame in frames):
        return None
    return next((f for f in _names(trapped(frames)) if not _ROOT.fullmatch(f)), None)


def shows_trap(frames: Sequence[Frame]) -> bool:
    """Return whether a backtrace contains a trap other than the debugger's breakpoint."""
    entered = any(f.entry.startswith("trap") and not _is_breakpoint(f) for f in frames)
    return entered or any(plain(f.function) in ("trap_fatal", "dblfault_handler") for f in frames)


def _is_breakpoint(frame: Frame) -> bool:
    return frame.entry in ("trap 0x3", "trap 3")


def _past_reports(frames: Sequence[Frame]) -> Sequence[Frame]:
    for index, frame in enumerate(frames):
        name = plain(frame.function)
        if not reports(name) and not _TRAP.fullmatch(name):
            return frames[index:]
    return ()


def _names(frames: Iterable[Frame]) -> list[str]:
    return [plain(f.function) for f in frames if f.function != UNKNOWN_FUNCTION]
