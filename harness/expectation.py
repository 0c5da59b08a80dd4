"""What a boot should come to: the reference model's prediction for a kernel on a topology."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.model.predict import Prediction, predict_boot
from harness.model.variants import Variant
from harness.outcome import Expectation, Outcome

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.source.forms import SlabForm


def expected_of(identity: KernelIdentity, topology: Topology) -> Expectation:
    """What a kernel should come to on a guest with that topology.

    Code of no known form is expected to boot, whatever is predicted of the code below its changes.
    What could not be read at all is left open: the answer is one that all possible forms give, or
    none.
    """
    # The built-in guest has one thread.
    threads = identity.release != "embedded"
    predictions = [
        predict_on(variant, topology, reserve_at_boot=identity.reserve_at_boot, threads=threads)
        for variant in _possible(identity)
    ]
    outcomes = {_outcomes(prediction) for prediction in predictions}
    why = " or ".join(dict.fromkeys(prediction.why for prediction in predictions))
    if identity.assumed:
        assumed = tuple(dict.fromkeys(outcome for each in outcomes for outcome in each))
        words = " or ".join(assumed)
        return Expectation(
            (Outcome.BOOTED,), f"assumed: {words}, by {identity.assumed}: {why}", assumed
        )
    if len(outcomes) > 1:
        return Expectation((), "this tree's allocator could not be read")
    return Expectation(outcomes.pop(), why)


def expected_slabs(identity: KernelIdentity, topology: Topology) -> frozenset[tuple[int, ...]]:
    """What slabs of the kernel map's entries each domain may have in the end; empty: any."""
    if identity.assumed:
        return frozenset()
    slabs = [
        predict_on(variant, topology, reserve_at_boot=identity.reserve_at_boot, threads=True).later
        for variant in _possible(identity)
    ]
    return frozenset().union(*slabs) if all(slabs) else frozenset()


def _outcomes(prediction: Prediction) -> tuple[Outcome, ...]:
    if prediction.panics:
        return (Outcome.PANIC,)
    if prediction.late:
        return (Outcome.BOOTED, Outcome.PANIC, Outcome.HANG)
    return (Outcome.BOOTED,)


def predict_on(
    variant: Variant, topology: Topology, *, reserve_at_boot: bool, threads: bool
) -> Prediction:
    """The prediction for a topology, as the domains that FreeBSD sees of it."""
    memory = [domain.memory_mib > 0 for domain in topology.guest_domains()]
    return predict_boot(variant, memory, reserve_at_boot=reserve_at_boot, threads=threads)


def variant_of(form: SlabForm) -> Variant:
    """The model's variant for what was read of a tree."""
    return Variant(form.advances_first, form.masked, form.reserve_fallback, form.domain_wait)


def _possible(identity: KernelIdentity) -> Iterator[Variant]:
    """The forms that a kernel may have; those that matter to a boot, where memory abounds."""
    for advances in _either(identity.advances_first):
        for fallback in _either(identity.reserve_fallback):
            masked = not advances if identity.masked is None else identity.masked
            yield Variant(advances, masked, fallback, fallback)


def _either(known: bool | None) -> tuple[bool, ...]:
    return (True, False) if known is None else (known,)
