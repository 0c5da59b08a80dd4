"""Where a search without luck looks for the last time."""

from __future__ import annotations

import pytest

from harness.subsystems.uma.model.trace import parse_trace, run_trace

#: All domains refuse; meanwhile an item of domain 0 is freed, which is not the last one visited.
TRACE = """\
variant {variant}
zone domains=2 ipers=4 reserve=1 patience=40 round-robin
alloc cpu=0 M_NOWAIT|M_NOVM|M_USE_RESERVE
alloc cpu=0 M_NOWAIT|M_NOVM
alloc cpu=0 M_NOWAIT|M_NOVM|M_USE_RESERVE
alloc cpu=0 M_NOWAIT|M_NOVM|M_USE_RESERVE
alloc cpu=0 M_NOWAIT|M_USE_RESERVE
refuse 0
alloc cpu=0 M_WAITOK
alloc cpu=0 M_WAITOK
alloc cpu=1 M_WAITOK
alloc cpu=1 M_NOWAIT|M_NOVM|M_USE_RESERVE
alloc cpu=0 M_NOWAIT|M_NOVM meanwhile=10
refuse 1
alloc cpu=0 M_NOWAIT meanwhile=10
"""


@pytest.mark.parametrize("variant", ["15-after", "15-before"])
def test_15_looks_in_the_domain_that_its_last_phase_has_moved_on_to(variant: str) -> None:
    """``vm_domainset_iter_policy`` writes the domain through its pointer even where it fails."""
    *_, last = run_trace(parse_trace(TRACE.format(variant=variant)))
    assert last.outcome is not None
    assert last.outcome.item is not None
