"""Titles fit for comparing: what differs from boot to boot and from build to build taken out."""

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
"""The name of the kernel function that holds an address, if one does."""

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
"""Words of many messages, which do not show that two lines belong together."""

_STEP_LIMIT = 8
_KERNEL_FROM = min(row.console.kernel_from for row in TABLE)


def scrub(message: str) -> str:
    """``message`` without addresses, numbers, line numbers and what a build adds to names."""
    for _ in range(_STEP_LIMIT):
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
    """A source file's path within sys, or else its name: the rest is where it was built."""
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", "..")]
    if not path or not parts:
        return path
    directories = parts[:-1]
    if "sys" in directories:
        last = len(directories) - 1 - directories[::-1].index("sys")
        return "/".join(parts[last:])
    return parts[-1]


def panic_title(message: str, before: Sequence[str], frames: Sequence[Frame]) -> str:
    """Of a panic: what it says, where machinery says it by whom it was called, and why."""
    title = report_title(message)
    where = _place(title, frames)
    if where and where not in title:
        title = f"{title} in {where}"
    why = explanation(message, before, frames)
    return f"{title}: {scrub('; '.join(why))}" if why else title


def debugger_title(reason: str, frames: Sequence[Frame]) -> str:
    """Of a kernel in its debugger: why it is there and, where machinery says so, for whom."""
    title = scrub(reason)
    found_by = reporter(frames)
    if found_by is not None and is_machinery(found_by):
        title = f"{title} in {culprit(frames)}" if culprit(frames) else title
    return f"debugger: {title}" if title else "debugger"


def _place(title: str, frames: Sequence[Frame]) -> str | None:
    """Of a message that does not say where it is from: by whom machinery was called, or who
    panicked with it.
    """
    found_by = reporter(frames)
    if found_by is None or culprit(frames) is None:
        return None
    if is_machinery(found_by):
        return culprit(frames)
    words = set(re.split(r"\W+|_", title.lower()))
    said = not words.isdisjoint(found_by.lower().split("_"))
    return None if said or _PATH.search(title) else found_by


def explanation(message: str, before: Sequence[str], frames: Sequence[Frame]) -> tuple[str, ...]:
    """Those of the lines right before a panic that explain it.

    They share a word with its message (``init died``, ``no init``), begin with the name of the
    driver whose function panicked, or are known to be the first half of a message.
    """
    words = set(_WORD.findall(message.lower())) - _COMMON_WORDS
    subsystems = {plain(f.function).lower() for f in frames[:16] if not is_machinery(f.function)}
    kept = [line for line in before if _explains(line, words, subsystems)]
    return tuple(kept)


def _explains(line: str, words: set[str], subsystems: set[str]) -> bool:
    if _FIRST_HALF.match(line):
        return True
    if words & set(_WORD.findall(line.lower())):
        return True
    driver = _DRIVER.match(line)
    name = driver["name"].lower() if driver else ""
    return bool(name) and any(function.startswith(name) for function in subsystems)


# UMA's debugging before 14, sys/kern/subr_witness.c, sys/*/*/mca.c
_FIRST_HALF = re.compile(
    r"Memory modified after free|(?:shared|exclusive) lock of \(|while (?:excl|sh)|MCA: CPU"
)
# what device_printf() and a function's own name put first
_DRIVER = re.compile(r"(?P<name>[A-Za-z_]{2,32}?)_?(?:\d{1,4}|\([^()]{0,32}\))?: ", re.ASCII)


def trap_title(
    name: str, pointer: int | None, frames: Sequence[Frame], function_at: FunctionAt
) -> str:
    """Of a trap: its name and where the CPU stood; of machinery with the function it worked for."""
    there = trapped(frames)
    seen = there[0].function if there else None
    sure = seen if there and there[0].entry else None
    place = sure or (function_at(pointer) if pointer else None) or seen
    caller = culprit(there)
    if place is None:
        return name
    if place == UNKNOWN_FUNCTION:
        address = there[0].pc if pointer is None else pointer
        if caller is None:
            return name
        if address is not None and address >= _KERNEL_FROM:
            return f"{name} in code without a symbol, called by {caller}"
        return f"{name} in {caller}, calling a {'bad' if address else 'null'} pointer"
    return f"{name} in {_with_caller(plain(place), caller)}"


def _with_caller(place: str, caller: str | None) -> str:
    return f"{place}, called by {caller}" if caller and is_machinery(place) else place


def sanitizer_title(
    sanitizer: Sanitizer, message: str, frames: Sequence[Frame], function_at: FunctionAt
) -> str:
    """Of a sanitizer's report: what it says by the sanitizer's own rule, and where."""
    place = site(frames)

    def named(text: str) -> str:
        if not text.startswith("0x"):
            return plain(text)
        return plain(function_at(int(text, 16)) or place or "ADDR")

    title = scrub(sanitizer.title(message, named))
    if place is None or (sanitizer.names_place and re.match(sanitizer.names_place, message)):
        return title
    return f"{title} in {_with_caller(place, culprit(frames))}"


def report_title(message: str) -> str:
    """Of a message without frames, by the rule of the sanitizer whose report it is, if any."""
    sanitizer = with_report(message)
    return scrub(sanitizer.title(message, plain) if sanitizer else message)


def warning_text(event: e.Event) -> str | None:
    """What ``event`` says in one line if it is worth a warning; None for the rest."""
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
    e.ProbeLineCorrupt: "corrupt line of the guest's report: {event.reason}",
    e.ParseFailed: "the console's parser failed on a line ({event.error}): {event.text}",
    e.EventsDropped: "further {event.kind} events are not listed",
}
