"""Judges existing console logs, such as a serial log or a CI artifact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.console import events as e
from harness.console.eventkinds import LoaderFault
from harness.console.parser import ConsoleParser
from harness.console.stages import Stage
from harness.console.symbolize import SymbolizedFrame
from harness.console.titles import source_path
from harness.outcome import Ending, Outcome, Until
from harness.verdict import Verdict, judge

if TYPE_CHECKING:
    from harness.console.symbolize import Symbolizer

_BEFORE_KERNEL = (
    e.FirmwareStarted, e.FirmwareFailed, e.FirmwareException, e.LoaderStarted, e.FileLoading,
    e.FilesUnloaded, e.LoaderPrompt, e.ModulesLoading, e.KernelEntered,
)  # fmt: skip


def judge_log(blocks: Iterable[bytes], until: Until, symbolizer: Symbolizer | None) -> Verdict:
    """Return the verdict on a console; its last byte counts as the end of the guest.

    Args:
        blocks: the console's bytes, cut anywhere.
        until: the stage that the boot had to reach; a ``login:`` prompt also counts.
        symbolizer: symbolizes frames with the booted kernel; None leaves frames as printed.

    Raises:
        UsageError: the symbolizer's kernel is not ELF.
        InfraError: the symbolizer is missing or fails.
    """
    parser, events, size = ConsoleParser(), [], 0
    for block in blocks:
        events += parser.feed(block)
        size += len(block)
    events += parser.close()
    if all(isinstance(event, e.LineCutShort | e.ParseFailed) for event in events):
        return _nothing(size)
    verdict = judge(
        events,
        Ending.EXITED,
        until,
        first_stage=first_stage_of(events),
        function_at=symbolizer.function_at if symbolizer else lambda _: None,
        login_suffices=True,
    )
    if symbolizer is None:
        frames = tuple(SymbolizedFrame(frame.function, "", 0) for frame in verdict.frames)
    else:
        frames = tuple(map(_without_build_path, symbolizer.symbolize(verdict.frames)))
    return replace(verdict, symbolized=frames)


def _without_build_path(place: SymbolizedFrame) -> SymbolizedFrame:
    inlined = tuple(replace(each, file=source_path(each.file)) for each in place.inlined)
    return replace(place, file=source_path(place.file), inlined=inlined)


def _nothing(size: int) -> Verdict:
    title = "it contains no line of a FreeBSD console" if size else "it is empty"
    return Verdict(Outcome.ENDED, title, Stage.FIRMWARE, kernel_entered=False)


def first_stage_of(events: Sequence[e.Event]) -> Stage:
    """Return the stage in which a log begins: firmware, or the kernel for a dmesg."""
    first = min(events, key=lambda event: event.offset, default=None)
    fatal = isinstance(first, e.LoaderFailed) and first.fault is LoaderFault.FATAL
    return Stage.FIRMWARE if fatal or isinstance(first, _BEFORE_KERNEL) else Stage.KERNEL
