"""What an operation came to, as the model says it and as a guest says it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.subsystems.uma.check.protocol import LISTED_CALLS, Answer, Counters

if TYPE_CHECKING:
    from harness.subsystems.uma.model.player import Player, Step


class Observation(NamedTuple):
    """All that must be equal.

    Args:
        item: slab and place in it; None without one.
        domain: of the item's memory; -1 without one.
        calls: the domains that the slab allocator was asked for, in order.
        slept: how often the thread slept for memory.
        place: where the keg's iterator stands.
        counters: by domain.
    """

    item: tuple[int, int] | None
    domain: int
    calls: tuple[int, ...]
    slept: int
    place: int
    counters: tuple[Counters, ...]


def of_model(player: Player, step: Step) -> Observation:
    """What the model says of the step that it has just made."""
    keg, outcome = player.zone.uz_keg, step.outcome
    counters = tuple([
        Counters(
            domain.ud_pages, domain.ud_free_items, domain.ud_free_slabs,
            len(domain.ud_part_slab), len(domain.ud_free_slab), len(domain.ud_full_slab),
        )
        for domain in keg.uk_domain
    ])  # fmt: skip
    if outcome is None:
        return Observation(None, -1, (), 0, step.place, counters)
    if outcome.item is None:
        return Observation(None, -1, outcome.calls, outcome.slept, step.place, counters)
    item = divmod(outcome.item, keg.uk_ipers)
    return Observation(item, outcome.domain, outcome.calls, outcome.slept, step.place, counters)


def of_guest(answer: Answer, before: Sequence[Counters]) -> Observation:
    """What a guest says; ``before`` are the counters that it told last, by domain."""
    return Observation(
        item=answer.item,
        domain=answer.domain,
        calls=answer.calls,
        slept=answer.slept,
        place=answer.place,
        counters=tuple(answer.changed.get(each, told) for each, told in enumerate(before)),
    )


def answer_text(observation: Observation, name: str, before: Sequence[Counters]) -> str:
    """How a guest words what came of an operation.

    Args:
        observation: what came of it.
        name: of the answer.
        before: the counters that it told last, by domain.
    """
    item, domain, calls, slept, place, counters = observation
    words = name
    if item is not None:
        words += f" item={item[0]}.{item[1]} domain={domain}"
    if calls:
        words += " calls=" + "".join(map(str, calls[:LISTED_CALLS]))
        if len(calls) > LISTED_CALLS:
            words += f" more={len(calls) - LISTED_CALLS}"
    if slept:
        words += f" slept={slept}"
    words += f" place={place}"
    if counters != before:
        for number, now in enumerate(counters):
            if now != before[number]:
                words += f" d{number}=" + ",".join(map(str, now))
    return words


def differences(model: Observation, guest: Observation) -> tuple[str, ...]:
    """Where they differ, a line each."""
    return tuple(_differences(model, guest))


def _differences(model: Observation, guest: Observation) -> Iterator[str]:
    pairs = (
        ("item", _item(model), _item(guest)),
        ("calls of the slab allocator", _calls(model.calls), _calls(guest.calls)),
        ("slept", model.slept, guest.slept),
        ("iterator", model.place, guest.place),
    )
    for what, said, seen in pairs:
        if said != seen:
            yield f"{what}: {said} in the model, {seen} in the kernel"
    for domain, (ours, theirs) in enumerate(zip(model.counters, guest.counters, strict=True)):
        if ours != theirs:
            yield f"domain {domain}: {ours} in the model; {theirs} in the kernel"


def _item(observation: Observation) -> str:
    if observation.item is None:
        return "none"
    slab, index = observation.item
    return f"item {index} of slab {slab} in domain {observation.domain}"


def _calls(calls: tuple[int, ...]) -> str:
    return ",".join("more" if call < 0 else str(call) for call in calls) or "none"
