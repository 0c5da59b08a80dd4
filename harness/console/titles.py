"""Titles of failures, without what differs between boots and builds, so that they compare equal."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.arch import TABLE
from harness.console import events as e
from harness.console.events import UNKNOWN_FUNCTION
from harness.console.machinery import (
    culprit,
    faulted,
    is_machinery,
    plain,
    reporter,
    site,
    trapped,
)
from harness.sanitizers import with_report

if TYPE_CHECKING:
    from harness.console.events import Frame
    from harness.sanitizers import Sanitizer

FunctionAt = Callable[[int], str | None]
"""Returns the name of the kernel function at an address, or None."""

_HEX = re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w])")
_PATH = re.compile(r"(?<![\w./+@-])[\w.+@-]*/[\w.+@/-]*\.(?:[chSmy]|cc|cpp|rs)\b", re.ASCII)
_SOURCE_LINE = re.compile(r"(?<=\.[chSmy]):\d+(?::\d+)?|(?<=\.cc|\.rs):\d+|(?<=\.cpp):\d+")
_COMPILERS = re.compile(
    r"(?<=[A-Za-z_0-9])(?:\.(?:isra|constprop|part|cold|llvm|__uniq)(?:\.\d+)?\b)+"
    r"|(?<=[A-Za-z_])(?P<digits>\d*)\.\d+(?=\+0x|\(\))",
    re.ASCII,
)
_WORD = re.compile(r"[a-z]{4,}")
_COMMON_WORDS = frozenset(
    {
        "kernel", "page", "memory", "device", "from", "with", "while", "failed", "error", "free",
        "invalid", "system", "time", "this", "that", "into", "have", "found", "version", "unknown",
    }
)  # fmt: skip
"""Words that are too common to show that two lines belong together."""

_MAX_PASSES = 8
_KERNEL_START = min(row.console.kernel_from for row in TABLE)
"""The lowest kernel address."""


def scrub(message: str) -> str:
    """Return ``message`` without addresses, numbers, line numbers and suffixes of compilers."""
    for _ in range(_MAX_PASSES):
        text = _scrub_once(message)
        if text == message:
            break
        message = text
    return message


def _scrub_once(message: str) -> str:
    text = _PATH.sub(lambda found: source_path(found[0]), message)
    text = _SOURCE_LINE.sub("", text)
    text = _COMPILERS.sub(lambda found: found["digits"] or "", text)
    text = _HEX.sub("ADDR", text)
    return " ".join(_NUMBER.sub("N", text).split())


def source_path(path: str) -> str:
    """Return a source file's path from ``sys`` on, or its name if it is not below ``sys``."""
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", "..")]
    if not path or not parts:
        return path
    directories = parts[:-1]
    if "sys" in directories:
        last = len(directories) - 1 - directories[::-1].index("sys")
        return "/".join(parts[last:])
    return parts[-1]


def panic_title(message: str, before: Sequence[str], frames: Sequence[Frame]) -> str:
    """Return the title of a panic: its message, the function it comes from, and its explanation.

    If locking or memory code panicked, the title names its caller.
    """
    title = report_title(message)
    function = _function(title, frames)
    if function and function not in title:
        title = f"{title} in {function}"
    reasons = explanation(message, before, frames)
    return f"{title}: {scrub('; '.join(reasons))}" if reasons else title


def debugger_title(reason: str, frames: Sequence[Frame]) -> str:
    """Return the title of a kernel in DDB: the reason and, if machinery entered DDB, its caller."""
    title = scrub(reason)
    detector = reporter(frames)
    if detector is not None and is_machinery(detector):
        title = f"{title} in {culprit(frames)}" if culprit(frames) else title
    return f"debugger: {title}" if title else "debugger"


def _function(title: str, frames: Sequence[Frame]) -> str | None:
    """Return the function that panicked, or the caller of machinery; None if the title names it.

    If all is machinery, it is the function that a trap interrupted.
    """
    detector = reporter(frames)
    if detector is None:
        return None
    if culprit(frames) is None:
        return faulted(frames)
    if is_machinery(detector):
        return culprit(frames)
    words = set(re.split(r"\W+|_", title.lower()))
    named = not words.isdisjoint(detector.lower().split("_"))
    return None if named or _PATH.search(title) else detector


def explanation(message: str, before: Sequence[str], frames: Sequence[Frame]) -> tuple[str, ...]:
    """Return those of the lines directly before a panic that explain it.

    Such a line shares a word with the message (``init died``, ``no init``), starts with the name of
    the driver whose function panicked, or is a known first half of a message.
    """
    words = set(_WORD.findall(message.lower())) - _COMMON_WORDS
    subsystems = {plain(f.function).lower() for f in frames[:16] if not is_machinery(f.function)}
    kept = [line for line in before if _explains(line, words, subsystems)]
    return tuple(kept)


def _explains(line: str, words: set[str], subsystems: set[str]) -> bool:
    if _FIRST_HALF.match(line):
        return True
    if _PROMPT.fullmatch(line):
        return False
    if words & set(_WORD.findall(line.lower())):
        return True
    driver = _DRIVER.match(line)
    name = driver["name"].lower() if driver else ""
    return bool(name) and any(function.startswith(name) for function in subsystems)


# UMA's debugging before 14, sys/kern/subr_witness.c, sys/*/*/mca.c
_FIRST_HALF = re.compile(
    r"Memory modified after free|(?:shared|exclusive) lock of \(|while (?:excl|sh)|MCA: CPU"
)
_PROMPT = re.compile(r"\S{1,16}> ?")
# prefixes of device_printf(), and names of functions
_DRIVER = re.compile(r"(?P<name>[A-Za-z_]{2,32}?)_?(?:\d{1,4}|\([^()]{0,32}\))?: ", re.ASCII)


def trap_title(
    name: str, pointer: int | None, frames: Sequence[Frame], function_at: FunctionAt
) -> str:
    """Return the title of a trap: its name and the function; for machinery also its caller."""
    interrupted = trapped(frames)
    innermost = interrupted[0].function if interrupted else None
    certain = innermost if interrupted and interrupted[0].entry else None
    function = certain or (function_at(pointer) if pointer else None) or innermost
    caller = culprit(interrupted)
    if function is None:
        return name
    if function == UNKNOWN_FUNCTION:
        address = interrupted[0].pc if pointer is None else pointer
        if caller is None:
            return name
        if address is not None and address >= _KERNEL_START:
            return f"{name} in code without a symbol, called by {caller}"
        return f"{name} in {caller}, calling a {'bad' if address else 'null'} pointer"
    return f"{name} in {_with_caller(plain(function), caller)}"


def _with_caller(function: str, caller: str | None) -> str:
    return f"{function}, called by {caller}" if caller and is_machinery(function) else function


def sanitizer_title(
    sanitizer: Sanitizer, message: str, frames: Sequence[Frame], function_at: FunctionAt
) -> str:
    """Return the title of a sanitizer's report, by the sanitizer's rule, and the function."""
    function = site(frames)

    def named(text: str) -> str:
        if not text.startswith("0x"):
            return plain(text)
        return plain(function_at(int(text, 16)) or function or "ADDR")

    title = scrub(sanitizer.title(message, named))
    if function is None or (sanitizer.names_place and re.match(sanitizer.names_place, message)):
        return title
    return f"{title} in {_with_caller(function, culprit(frames))}"


def report_title(message: str) -> str:
    """Return the title of a message without frames; for a report, by its sanitizer's rule."""
    sanitizer = with_report(message)
    return scrub(sanitizer.title(message, plain) if sanitizer else message)


def warning_text(event: e.Event) -> str | None:
    """Return the text of an event that is a warning, in one line; None for other events."""
    if isinstance(event, e.LockOrderReversal):
        return f"{event.detail} {'; '.join(event.locks)}"
    template = _WARNINGS.get(type(event))
    return template.format(event=event) if template else None


_WARNINGS: dict[type[e.Event], str] = {
    e.KernelWarning: "{event.text}",
    e.LoaderFailed: "{event.text}",
    e.SratRefused: "SRAT refused, all memory is one domain: {event.reason}",
    e.DomainEmpty: "memory domain {event.domain} is empty",
    e.SanitizerReport: "{event.message}",
    e.Panic: "panic: {event.message}",
    e.FatalTrap: "Fatal trap {event.number}: {event.name}",
    e.MountRootFailed: "mounting from {event.source} failed with error {event.error}",
    e.ProbeLineCorrupt: "corrupt line of init's report: {event.reason}",
    e.ParseFailed: "the console parser failed on a line ({event.error}): {event.text}",
    e.EventsDropped: "more {event.kind} events are not listed",
}
