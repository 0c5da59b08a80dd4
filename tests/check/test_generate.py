"""Random traces: the model takes all of them, and they go where it is interesting."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from harness.subsystems.uma.check.generate import PATIENCE, random_operations, zone_plan
from harness.subsystems.uma.check.guest import is_taken
from harness.subsystems.uma.model.flags import M_USE_RESERVE, M_WAITOK
from harness.subsystems.uma.model.player import Operation, Player, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.trace import Trace
from harness.subsystems.uma.model.variants import VARIANTS, Variant

SEEDS = st.integers(0, 2**32)
ANY_VARIANT = st.sampled_from(list(VARIANTS.values()))


def written(seed: int, variant: Variant, domains: int) -> tuple[Shape, tuple[Operation, ...]]:
    rng = random.Random(seed)
    plan = zone_plan(rng, seed, hashed=True)
    shape = Shape(
        domains, plan.ipers, plan.reserve, hashed=plan.hashed,
        first_touch=not plan.round_robin, patience=PATIENCE,
    )  # fmt: skip
    return shape, random_operations(rng, variant, shape, 200)


@given(SEEDS, ANY_VARIANT, st.integers(1, 8))
def test_the_model_takes_every_trace_to_its_end(seed: int, variant: Variant, domains: int) -> None:
    shape, operations = written(seed, variant, domains)
    assert is_taken(Trace(variant, shape, operations))


@given(SEEDS, ANY_VARIANT)
def test_the_same_seed_gives_the_same_trace(seed: int, variant: Variant) -> None:
    assert written(seed, variant, 2) == written(seed, variant, 2)


@given(SEEDS, ANY_VARIANT, st.integers(1, 8))
def test_headers_elsewhere_are_not_asked_for_what_their_zone_asserts_against(
    seed: int, variant: Variant, domains: int
) -> None:
    shape, operations = written(seed, variant, domains)
    both = M_WAITOK | M_USE_RESERVE
    assert not shape.hashed or not any(o.flags & both == both for o in operations)


def test_reserves_run_out_domains_fail_threads_sleep_and_the_allocator_gives_in() -> None:
    seen: Counter[str] = Counter()
    for seed in range(60):
        shape, operations = written(seed, VARIANTS["15-after"], 2)
        player = Player(VARIANTS["15-after"], shape)
        for operation in operations:
            step = player.play(operation)
            seen[operation.verb] += 1
            outcome = step.outcome
            if operation.verb is Verb.ALLOC and outcome is not None:
                seen["none"] += outcome.item is None
                seen["slept"] += outcome.slept > 0
                seen["slept for all domains"] += outcome.slept > 0 and not shape.first_touch
                seen["gave in"] += len(outcome.calls) == PATIENCE
                seen["elsewhere"] += outcome.domain not in (-1, operation.number)
            if operation.meanwhile and outcome is not None:
                seen["freed meanwhile"] += bool(outcome.calls)
                last = outcome.item is not None and outcome.calls == (operation.number,)
                seen["found by the last look"] += last and "fresh" not in " ".join(step.why)
            seen["reserve is all there is"] += 0 < sum(step.free_items) <= shape.reserve
    assert {verb for verb in Verb if not seen[verb]} == set()
    events = (
        "none", "slept", "slept for all domains", "gave in", "elsewhere", "freed meanwhile",
        "found by the last look", "reserve is all there is",
    )  # fmt: skip
    for event in events:
        assert seen[event] >= 20, event
