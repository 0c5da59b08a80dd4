"""Observations of an operation, from the model and from a guest; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.subsystems.uma.check.protocol import LISTED_CALLS, Answer, Counters

if TYPE_CHECKING:
    from harness.subsystems.uma.model.player import Player, Step


class Observation(NamedTuple):
    """State that model and guest must agree on after an operation.

    Args:
        item: slab and index of the item; None without one.
        domain: domain of the item's memory; -1 without an item.
        calls: the domains of the slab allocator's calls, in order.
        slept: number of times that the thread slept for memory.
        place: the keg's iterator.
        counters: by domain.
    """

    item: tuple[int, int] | None
    domain: int
    calls: tuple[int, ...]
    slept: int
    place: int
    counters: tuple[Counters, ...]


def of_model(player: Player, step: Step) -> Observation:
    """Return the observation of the model's last step."""
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
    """Return a guest's observation; ``before`` are its previous counters, by domain."""
    return Observation(
        item=answer.item,
        domain=answer.domain,
        calls=answer.calls,
        slept=answer.slept,
        place=answer.place,
        counters=tuple(answer.changed.get(each, told) for each, told in enumerate(before)),
    )


def answer_text(observation: Observation, name: str, before: Sequence[Counters]) -> str:
    """Return the answer of a guest to an operation.

    Args:
        observation: the observation.
        name: name of the answer.
        before: the guest's previous counters, by domain.
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
    """Return the differences, one line each."""
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
