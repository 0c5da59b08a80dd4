"""Named cases: real bugs that the harness finds, and a command that shows each of them.

The command uses a guest of ``vmconfigs/`` or a mutant. Tests on real kernels check its result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.outcome import Outcome

if TYPE_CHECKING:
    from harness.mutation.mutant import Mutant
    from harness.source.codefacts import NamedChange


@dataclass(frozen=True, slots=True)
class Shown:
    """The expected result of a case's command.

    Args:
        release: beginning of the release of a tree that has the bug.
        outcome: the outcome of the boot.
        title: part of the verdict's title, or of the check's difference; empty for any.
        side: the side of a comparison; empty for other commands.
        agrees: whether the check agrees with the model; None if nothing is checked.
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
        name: the case's name.
        story: the bug in one line.
        introduced: the commit or review that introduced it; empty if unknown.
        fixed: the commit or review that fixed it; empty if there is none, or it is unknown.
        functions: the functions that have it.
        command: the arguments of ``harness``.
        shown: the expected results.
        vm: its guest in ``vmconfigs/``; empty if it needs none.
        trace: a trace that shows it in a search without a model; empty if there is none.
        titles: a regular expression that titles of its findings match.
        traces: a regular expression that traces of its findings match.
        fix: a small local fix, after which no trace shows it; None if none is known.
        mutant: the mutant that brings a fixed bug back; None for others.
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
    mutant: Mutant | None = None

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
"""The cases that belong to no subsystem; ``harness.subsystems.table.cases`` returns all."""
