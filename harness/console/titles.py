"""Titles fit for comparing: what differs from boot to boot and from build to build taken out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.console import events as e

if TYPE_CHECKING:
    from harness.console.events import Frame

FunctionAt = Callable[[int], str | None]
"""The name of the kernel function that holds an address, if one does."""

# the functions between the one that did wrong and the backtrace
_MESSENGERS = re.compile(
    r"(?:db_trace_self\w*|kdb_backtrace\w*|vpanic|panic|kassert_panic|stack_save\w*"
    r"|(?:__)?[kh]?[am]san_\w+|kasan_\w+|kmsan_\w+)"
)
_HEX = re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w])")
_SOURCE_ROOT = re.compile(r"(?:/[\w.+@-]+)+/(?=sys/)")
_SOURCE_LINE = re.compile(r"(?<=\.[chS]):\d+")
_ASAN = re.compile(r"ASan: Invalid access, \d+-byte (?P<access>\w+) at \w+, (?P<code>\w+)")
_MSAN_DETAIL = re.compile(
    r", offset \d+(?:/\d+)?|, addr 0x[0-9a-f]+|, origin [0-9a-f]+|\+(?:0x)?[0-9a-f]+"
)
_ADDRESS = re.compile(r"0x(?P<digits>[0-9a-f]{1,16})")


def scrub(message: str) -> str:
    """``message`` without addresses, numbers, line numbers and the folder it was built in."""
    text = _SOURCE_ROOT.sub("", message)
    text = _SOURCE_LINE.sub("", text)
    text = _HEX.sub("ADDR", text)
    return " ".join(_NUMBER.sub("N", text).split())


def culprit(frames: Sequence[Frame]) -> str | None:
    """The innermost function that is not one of those that report."""
    for frame in frames:
        if not _MESSENGERS.fullmatch(frame.function):
            return frame.function
    return None


def trapped_in(frames: Sequence[Frame]) -> str | None:
    """The function in which the first trap of a backtrace happened."""
    return next((f.function for f in frames if f.entry.startswith("trap")), None)


def sanitizer_title(message: str, frames: Sequence[Frame], function_at: FunctionAt) -> str:
    """Of KASAN's and KMSAN's messages: kind of access and function, no sizes, no offsets.

    Formats: sys/kern/subr_asan.c kasan_report(), sys/kern/subr_msan.c kmsan_report_hook() and
    kmsan_report_inline().
    """
    where = culprit(frames)
    if found := _ASAN.match(message):
        title = f"ASan: Invalid access, {found['access']}, {found['code']}"
        return f"{title} in {where}" if where else title

    def name(address: re.Match[str]) -> str:
        return function_at(int(address["digits"], 16)) or where or "ADDR"

    title = scrub(_ADDRESS.sub(name, _MSAN_DETAIL.sub("", message)))
    return f"{title} in {where}" if where and " in " not in title else title


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
    e.EventsDropped: "further {event.kind} events are not listed",
}
