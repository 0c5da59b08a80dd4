"""What an operation came to, as the model says it and as a guest says it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.subsystems.uma.check.protocol import Answer, Counters

if TYPE_CHECKING:
    from harness.subsystems.uma.model.player import Player, Step


@dataclass(frozen=True, slots=True)
class Observation:
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
    item = None
    if outcome is not None and outcome.item is not None:
        item = divmod(outcome.item, keg.shape.ipers)
    return Observation(
        item=item,
        domain=outcome.domain if outcome is not None and item is not None else -1,
        calls=outcome.calls if outcome is not None else (),
        slept=outcome.slept if outcome is not None else 0,
        place=step.place,
        counters=tuple(
            Counters(
                domain.ud_pages, domain.ud_free_items, domain.ud_free_slabs,
                len(domain.ud_part_slab), len(domain.ud_free_slab), len(domain.ud_full_slab),
            )
            for domain in keg.uk_domain
        ),
    )  # fmt: skip


def of_guest(answer: Answer, before: Mapping[int, Counters], domains: int) -> Observation:
    """What a guest says; ``before`` are the counters that it told last."""
    now = {**before, **answer.changed}
    return Observation(
        item=answer.item,
        domain=answer.domain,
        calls=answer.calls,
        slept=answer.slept,
        place=answer.place,
        counters=tuple(now.get(domain, Counters()) for domain in range(domains)),
    )


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
