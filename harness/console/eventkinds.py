"""Closed sets of values that events of a console have."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class WarningKind(StrEnum):
    """Kinds of warnings, which do not end the boot."""

    LOCK_ORDER = "lock order reversal"
    DUPLICATE_LOCK = "duplicate lock"
    LOCKS_HELD = "locks held"
    SLEEPING_THREAD = "sleeping thread"
    ASSERTION = "assertion"
    TRAP = "trap with interrupts disabled"
    UNPROVEN_PANIC = "the word panic without what the kernel prints after it"
    OTHER = "warning"


class LoaderFault(IntEnum):
    """Ranks of the loader's errors: the first of the highest rank is the cause."""

    RESULT = 1
    """a consequence of another error: no kernel was loaded"""
    REFUSED = 2
    """a file was not found or not accepted"""
    FATAL = 3
    """the loader cannot continue"""


class TraceOrigin(StrEnum):
    """The line that announces a backtrace."""

    KDB = "KDB"
    """``KDB: stack backtrace:``, for the thread that prints it"""
    WITNESS = "witness"
    """``stack backtrace:``"""
    THREAD = "thread"
    """``KDB: stack backtrace of thread``, or DDB's ``alltrace``, for the named thread"""
    DEBUGGER = "debugger"
    """DDB's ``bt``, for the thread that entered the debugger, unless another one is named"""
    NONE = "none"
    """none: the line before the frames is lost"""


class ShutdownStep(StrEnum):
    """Steps of the kernel's shutdown (sys/kern/kern_shutdown.c)."""

    UPTIME = "uptime"
    AUTOMATIC_REBOOT = "automatic reboot"
    REBOOTING = "rebooting"
    POWERING_OFF = "powering off"
    HALTED = "halted"
