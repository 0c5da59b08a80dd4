"""Named cases of iterators over domains."""

from __future__ import annotations

from typing import Final

from harness.cases import NamedCase, Shown
from harness.outcome import Outcome

ITERATOR_CASES: Final = (
    NamedCase(
        name="restart-short-only",
        story="after it slept for memory, an iterator searched only the domains that had been "
        "short, so that a thread could wait while another domain had memory",
        introduced="",
        fixed="D51249",
        functions=("vm_domainset_iter_policy", "vm_domainset_iter_page"),
        command=("check", "--mutant", "vm_domainset_iter_policy.restart-short-only",
                 "--subsystem", "domainset", "--numa", "2", "--kasan"),
        shown=(Shown("15.", Outcome.BOOTED, agrees=False),),
    ),
    NamedCase(
        name="domain-twice",
        story="an iterator visited the domain that it began with a second time",
        introduced="",
        fixed="D51249",
        functions=("vm_domainset_iter_phase_first",),
        command=("check", "--mutant", "vm_domainset_iter_phase_first.visit-twice",
                 "--subsystem", "domainset", "--numa", "2", "--kasan"),
        shown=(Shown("15.", Outcome.BOOTED, agrees=False),),
    ),
)  # fmt: skip
