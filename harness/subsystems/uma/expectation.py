"""The expected outcome of a boot, as the reference model predicts it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.outcome import Expectation, Outcome
from harness.source.codefacts import Facts
from harness.subsystems.models import BootModel, BootPrediction
from harness.subsystems.uma.codeforms import NAME
from harness.subsystems.uma.model.variants import Variant
from harness.subsystems.uma.prediction import PANIC, Prediction, predict_boot

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.sanitizers import Sanitizers


def expected_of(identity: KernelIdentity, topology: Topology) -> Expectation:
    """Return the expected outcome of a kernel on a guest with that topology.

    Code without a known form is expected to boot, whatever the prediction for the code below its
    changes. If no code could be read, the outcome is that of all possible forms, if it is the same.
    """
    facts = facts_of(identity)
    kind = Booting.of(identity.sanitizer, is_freebsd=identity.is_freebsd)
    predictions = [predict_on(variant, topology, kind) for variant in _possible(facts)]
    outcomes = {_outcomes(prediction) for prediction in predictions}
    why = " or ".join(dict.fromkeys(prediction.why for prediction in predictions))
    if facts.assumed:
        assumed = tuple(dict.fromkeys(outcome for each in outcomes for outcome in each))
        words = " or ".join(assumed)
        return Expectation(
            (Outcome.BOOTED,), f"assumed: {words}, by {facts.assumed}: {why}", assumed
        )
    if len(outcomes) > 1:
        return Expectation((), "this tree's allocator could not be read")
    return Expectation(outcomes.pop(), why)


def expected_slabs(identity: KernelIdentity, topology: Topology) -> frozenset[tuple[int, ...]]:
    """Return the possible numbers of slabs of map entries by domain, after a boot; empty: any."""
    facts = facts_of(identity)
    if facts.assumed:
        return frozenset()
    kind = replace(Booting.of(identity.sanitizer, is_freebsd=identity.is_freebsd), threads=True)
    slabs = [predict_on(variant, topology, kind).later for variant in _possible(facts)]
    return frozenset().union(*slabs) if all(slabs) else frozenset()


def _outcomes(prediction: Prediction) -> tuple[Outcome, ...]:
    if prediction.panics:
        return (Outcome.PANIC,)
    if prediction.late:
        return (Outcome.BOOTED, Outcome.PANIC, Outcome.HANG)
    return (Outcome.BOOTED,)


@dataclass(frozen=True, slots=True)
class Booting:
    """Properties of a kernel that its boot depends on.

    Args:
        reserve_at_boot: whether it allocates kernel map entries from the reserve, because it has no
            direct map.
        threads: whether threads run on other CPUs after startup.
    """

    reserve_at_boot: bool
    threads: bool = True

    @classmethod
    def of(cls, sanitizers: Sanitizers, *, is_freebsd: bool) -> Booting:
        """Return the properties of a FreeBSD kernel, or of the built-in guest.

        Some sanitizers disable FreeBSD's direct map. The built-in guest has no direct map, and one
        thread.
        """
        return cls(not (sanitizers.direct_map and is_freebsd), is_freebsd)


def predict_on(variant: Variant, topology: Topology, kind: Booting) -> Prediction:
    """Return the prediction for the domains that FreeBSD sees of a topology."""
    memory = [domain.memory_mib > 0 for domain in topology.guest_domains()]
    return predict_boot(variant, memory, reserve_at_boot=kind.reserve_at_boot, threads=kind.threads)


def boot_model(variant: Variant, kind: Booting) -> BootModel:
    """Return the predictor of such a kernel's boots, for ``harness model predict``."""
    return BootModel(
        variant.name,
        variant.proof,
        variant.description(),
        lambda topology: _shown(variant, topology, kind),
    )


def _shown(variant: Variant, topology: Topology, kind: Booting) -> BootPrediction:
    found = predict_on(variant, topology, kind)
    return BootPrediction(
        found.in_words,
        f"{PANIC}: {found.allocation}" if found.panics else "",
        found.why,
        {
            "allocation": found.allocation,
            "slabs": found.slabs,
            "late": found.late,
            "later": sorted(found.later),
        },
    )


def facts_of(identity: KernelIdentity) -> Facts:
    """Return the facts of UMA's code; empty if it was not read."""
    return identity.facts.get(NAME, Facts())


def variant_of(values: Mapping[str, bool]) -> Variant:
    """Return the model's variant with these facts."""
    return Variant(**values)


def _possible(facts: Facts) -> Iterator[Variant]:
    """Generate the forms that a kernel may have, as far as boots with enough memory differ."""
    if facts.values:
        yield variant_of(facts.values)
        return
    for advances, fallback in itertools.product((True, False), repeat=2):
        yield Variant(advances, not advances, fallback, fallback)
