"""Simpler traces of as many operations, so that a finding's trace has only what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.subsystems.zones.operations import (
    ALWAYS,
    OF_THREADS,
    split_thread,
    with_items_in_order,
    with_thread,
    with_zone,
    without_choices,
    without_gap,
    zone_of,
)
from harness.subsystems.zones.zone import Zone, illegal

if TYPE_CHECKING:
    from harness.subsystems.zones.trace import Trace

#: Fewer run at no time together.
_FEWEST_THREADS = 2


def simpler(trace: Trace) -> Iterator[Trace]:
    """Generate traces that are one step simpler."""
    numbered = with_items_in_order(trace.operations)
    if numbered != trace.operations:
        yield replace(trace, operations=numbered)
    trace = replace(trace, schedule=None)  # of another program the switch points are others
    if trace.left_out:
        yield replace(trace, left_out=())
    yield from _fewer_zones(trace)
    yield from _plainer_threads(trace)
    for place, zone in enumerate(trace.zones):
        for plainer in _plainer(zone):
            if not illegal(plainer) and _fits(plainer, trace):
                zones = (*trace.zones[:place], plainer, *trace.zones[place + 1 :])
                yield replace(trace, zones=zones)
    for place, operation in enumerate(trace.operations):
        for plain in _plainer_operation(operation):
            operations = (*trace.operations[:place], plain, *trace.operations[place + 1 :])
            yield replace(trace, operations=operations)


def _fits(zone: Zone, trace: Trace) -> bool:
    return zone.primary is None or not trace.zones[zone.primary].kinds & {"cache", "secondary"}


def _fewer_zones(trace: Trace) -> Iterator[Trace]:
    """Without a zone that no operation and no other zone is about."""
    used = {zone for operation in trace.operations for zone in zone_of(operation)}
    used |= {zone.primary for zone in trace.zones if zone.primary is not None}
    same = {place: place for place in range(len(trace.zones))}
    for place in range(len(trace.zones)):
        primary = trace.zones[place].primary
        if place in used and primary is not None:
            moved = {**same, place: primary}
            yield replace(
                trace, operations=tuple(with_zone(each, moved) for each in trace.operations)
            )
        if place in used or len(trace.zones) == 1:
            continue
        zones = tuple(
            replace(zone, primary=zone.primary - (zone.primary > place))
            if zone.primary is not None else zone
            for each, zone in enumerate(trace.zones) if each != place
        )  # fmt: skip
        moved = {each: each - (each > place) for each in range(len(trace.zones))}
        operations = tuple(with_zone(operation, moved) for operation in trace.operations)
        yield replace(trace, zones=zones, operations=operations)


def _plainer_threads(trace: Trace) -> Iterator[Trace]:
    """Generate traces whose threads count from 1, or with a thread's first operation before all
    threads."""
    threads = trace.threads
    numbers = {number: place for place, number in enumerate(threads, start=1)}
    if any(number != place for number, place in numbers.items()):
        renumbered = tuple(with_thread(each, numbers) for each in trace.operations)
        yield replace(trace, operations=renumbered)
    for number, operations in threads.items():
        if len(operations) == 1 and len(threads) <= _FEWEST_THREADS:
            continue
        if operations[0][0] in OF_THREADS:
            continue
        place = trace.operations.index(f"{number}:{operations[0]}")
        others = (*trace.operations[:place], *trace.operations[place + 1 :])
        alone = len(trace.alone)
        yield replace(trace, operations=(*others[:alone], operations[0], *others[alone:]))


def _plainer(zone: Zone) -> Iterator[Zone]:
    for word in sorted(zone.kinds - {"secondary"}):
        yield replace(zone, kinds=zone.kinds - {word})
    if zone.primary is not None:
        yield replace(zone, kinds=zone.kinds - {"secondary"}, primary=None)
    if zone.limit is not None:
        yield replace(zone, limit=None)
    if zone.maxcache is not None:
        yield replace(zone, maxcache=None)
    if zone.align is not None:
        yield replace(zone, align=None)
    if zone.kva is not None:
        yield replace(zone, kva=None)
        if zone.kva > 1:
            yield replace(zone, kva=1)
    if zone.reserve:
        yield replace(zone, reserve=0)
        if zone.reserve > 1:
            yield replace(zone, reserve=1)


def _plainer_operation(operation: str) -> Iterator[str]:
    thread, operation = split_thread(operation)
    for plainer in _plainer_of_one(operation):
        yield f"{thread}:{plainer}" if thread else plainer


def _plainer_of_one(operation: str) -> Iterator[str]:
    outer, _, inner = operation.partition(";")
    if inner:
        yield outer
        if without_gap(operation) != operation:
            yield without_gap(operation)
    yield from without_choices(operation)
    if outer[0] != "a":
        return
    numbers = outer.rstrip("nwvrze")
    flags = outer[len(numbers) :]
    rest = f";{inner}" if inner else ""
    fields = numbers[1:].split(",")
    if len(fields) > 5 and fields[5]:
        yield f"a{','.join(fields[:5]).rstrip(',')}{flags.replace(ALWAYS, '')}{rest}"
    if flags.replace(ALWAYS, "") != "n":
        yield f"{numbers}n{rest}"
    for flag in flags if len(flags) > 1 else "":
        if flag not in "nw":  # the last is ALWAYS
            yield f"{numbers}{flags.replace(flag, '')}{rest}"
