"""The search of a small zone's states for ``harness model explore``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.subsystems.models import BrokenProperty, SearchBound, SearchedStates
from harness.subsystems.uma.model.explore import Bounds, Exploration, explore
from harness.subsystems.uma.model.variants import VARIANTS, find_variant


class ZoneSearch:
    """Searches the states of small zones; see ``StateSearch``."""

    bounds = (
        SearchBound("domains", 8, 3, "Memory domains."),
        SearchBound("slabs", 4, 2, "Slabs that each domain has memory for."),
        SearchBound("depth", 20, 8, "Operations in a row."),
    )

    def run(self, form: str | None, bounds: Mapping[str, int]) -> Iterator[SearchedStates]:
        """See ``StateSearch``: each form with both kinds of lists."""
        for variant in [find_variant(form)] if form else VARIANTS.values():
            for hashed in (False, True):
                yield _searched(explore(variant, Bounds(**bounds, hashed=hashed)))


def _searched(found: Exploration) -> SearchedStates:
    hashed = found.bounds.hashed
    return SearchedStates(
        found.variant.name,
        found.variant.proof,
        "one list of slabs (UMA_ZFLAG_HASH)" if hashed else "lists by domain",
        found.states,
        found.operations,
        tuple(
            BrokenProperty(what.name.lower(), what.value, str(shortest))
            for what, shortest in found.broken.items()
        ),
        {"hashed": hashed},
    )
