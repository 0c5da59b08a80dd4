"""Named cases: real bugs of the kind that this harness finds, and how to see each of them.

A case is a command of the harness with a guest of ``vmconfigs/`` or a mutant. What must come out
is held by the tests on real kernels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.outcome import Outcome

if TYPE_CHECKING:
    from harness.source.codefacts import NamedChange


@dataclass(frozen=True, slots=True)
class Shown:
    """What a case's command must come to.

    Args:
        release: of the tree that shows it: the beginning of its release.
        outcome: of the boot that shows it.
        title: a part of the verdict's title, or of the check's difference; empty for a boot.
        side: of a comparison; empty for other commands.
        agrees: whether the check agrees with the model; None without a check.
    """

    release: str
    outcome: Outcome
    title: str = ""
    side: str = ""
    agrees: bool | None = None


@dataclass(frozen=True, slots=True)
class NamedCase:
    """One bug.

    Args:
        name: of the case.
        story: in a line.
        introduced: the commit that brought it, or the review; empty if it is not known.
        fixed: the commit or review that mended it; empty if none is known.
        functions: in which it is.
        command: the words behind ``harness``.
        shown: what must come out.
        vm: the guest that is there for it; empty for none.
        trace: that shows it in a search without a model; empty for none.
        titles: a regular expression of the titles of its findings.
        traces: one of what its traces have.
        fix: a small local fix, with which no trace shows it; None if none is known.
    """

    name: str
    story: str
    introduced: str
    fixed: str
    functions: tuple[str, ...]
    command: tuple[str, ...]
    shown: tuple[Shown, ...]
    vm: str = ""
    trace: str = ""
    titles: str = ""
    traces: str = ""
    fix: NamedChange | None = None

    def is_of(self, title: str, trace: str) -> bool:
        """Whether a finding is of this case, by its title and its shortest trace."""
        if not self.titles or re.search(self.titles, title) is None:
            return False
        return re.search(self.traces, trace, re.DOTALL) is not None


_TRAMPOLINE: Final = "trampoline-kasan"

MACHINE_CASES: Final = (
    NamedCase(
        name="ap-trampoline",
        story="the page that starts the other CPUs must lie below 1 MiB; when a sanitizer's shadow "
        "has left none, the kernel uses it unchecked and faults on a null page",
        introduced="b27fe1c3ba2a",
        fixed="",
        functions=("native_start_all_aps",),
        command=("boot", "--vm", _TRAMPOLINE),
        shown=(
            Shown("13.", Outcome.TRAP, "page fault in native_start_all_aps"),
        ),
        vm=_TRAMPOLINE,
    ),
    NamedCase(
        name="domain-without-cpus",
        story="a memory domain without CPUs makes the kernel ignore the whole SRAT: it sees one "
        "domain, whatever the machine has",
        introduced="",
        fixed="",
        functions=("check_domains",),
        command=("boot", "--vm", "cpuless-kasan"),
        shown=(Shown("13.", Outcome.BOOTED), Shown("15.", Outcome.BOOTED)),
        vm="cpuless-kasan",
    ),
    NamedCase(
        name="kcsan-delay",
        story="KCSAN waits by DELAY(), which without an invariant TSC takes the lock of the i8254 "
        "that the waiting code may hold",
        introduced="",
        fixed="",
        functions=("kcsan_access", "i8254_delay"),
        command=("boot", "--numa", "2", "--kcsan", "--tunable",
                 "kern.timecounter.invariant_tsc=0"),
        shown=(Shown("13.", Outcome.PANIC, "mtx_lock_spin: recursed"),),
    ),
)  # fmt: skip
"""Those that are of no subsystem; ``harness.subsystems.table.cases`` has all."""
