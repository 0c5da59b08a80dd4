"""Commands to a guest's check module for iterators, and its answers; pure.

Answers are untrusted: they are read with a strict grammar; all else is ``Nonsense``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from harness.check.protocol import Nonsense, matched, number_in
from harness.subsystems.domainset.model.machine import Wait
from harness.subsystems.domainset.model.operations import (
    Call,
    Ignore,
    Operation,
    Short,
    Start,
    Step,
)
from harness.subsystems.domainset.model.player import Layout, Seen
from harness.subsystems.domainset.model.sets import Policy

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord

_CALLS: Final = tuple(Call)
_POLICIES: Final = tuple(Policy)
_ADDRESS: Final = re.compile(r"[0-9]{1,20}", re.ASCII)


def command(operation: Operation, cpu: int) -> str:
    """Return the command of an operation.

    Args:
        operation: the operation.
        cpu: the CPU that runs the call.
    """
    match operation:
        case Start():
            return _start(operation, cpu)
        case Step(_, wake):
            return f"step cpu={cpu} wake={wake}"
        case Short(mask):
            return f"short domains={mask}"
        case Ignore(domain):
            return f"ignore domain={domain}"


def _start(start: Start, cpu: int) -> str:
    key = start.key
    prefer = f" prefer={key.prefer}" if key.policy is Policy.PREFER else ""
    color = f" color={start.color}" if start.color is not None else ""
    return (
        f"iterator call={_CALLS.index(start.call)} policy={_POLICIES.index(key.policy)} "
        f"domains={key.mask}{prefer} place={start.iterator} wait={int(start.wait)} cpu={cpu} "
        f"pindex={start.pindex}{color}"
    )


def read_layout(record: ProbeRecord, domains: int, empty: int) -> Layout:
    """Return the layout with a guest's object and reservations.

    Raises:
        Nonsense: the answer violates the protocol.
    """
    fields = dict(record.fields)
    size = number_in(fields, "size")
    if size == 0 or "address" not in fields:
        raise Nonsense("an object without address or size")
    return Layout(
        domains,
        empty,
        int(matched(_ADDRESS, fields["address"])[0]),
        size,
        number_in(fields, "order0"),
        number_in(fields, "order1"),
    )


def answer_text(seen: Seen | None, domains: int, left: Wait) -> str:
    """Return the answer of a guest to an operation.

    Args:
        seen: the state after the operation.
        domains: the guest's number of domains.
        left: the flags that the init function returned, which the answer to a step repeats.
    """
    if seen is None:
        return "done"
    domain, error, iterator, flags, minskip, n, masks, offset, slept = seen
    name = "step" if flags is None else "iterator"
    counted = f"n={n}" if masks is None else "valid={} remain={} min={}".format(*masks)
    placed = f" offset={offset}" if offset is not None else ""
    wait = int(left if flags is None else flags)
    return (
        f"{name} domain={domains if domain < 0 else domain} error={error} place={iterator} "
        f"wait={wait} minskip={int(minskip)} {counted}{placed} slept={slept}"
    )


def read_seen(record: ProbeRecord, operation: Operation, domains: int) -> Seen | None:
    """Return the state in an answer; None if the operation calls no iterator.

    Raises:
        Nonsense: the answer violates the protocol.
    """
    if not isinstance(operation, Start | Step):
        return None
    fields = dict(record.fields)
    domain = number_in(fields, "domain")
    masked = "valid" in fields
    return Seen(
        domain=domain if domain < domains else -1,
        error=number_in(fields, "error"),
        iterator=number_in(fields, "place"),
        flags=_wait(number_in(fields, "wait")) if isinstance(operation, Start) else None,
        minskip=number_in(fields, "minskip") != 0,
        n=None if masked else number_in(fields, "n"),
        masks=(
            number_in(fields, "valid"), number_in(fields, "remain"), number_in(fields, "min"),
        ) if masked else None,
        offset=int(matched(_ADDRESS, fields["offset"])[0]) if "offset" in fields else None,
        slept=number_in(fields, "slept"),
    )  # fmt: skip


def _wait(number: int) -> Wait:
    if number > Wait.NOWAIT | Wait.WAITOK | Wait.WAITFAIL:
        raise Nonsense(f"there are no flags {number}")
    return Wait(number)
