"""FreeBSD's kernel sanitizers: one table, a row each, and the set of them that a kernel has.

All that depends on a sanitizer reads its row: the kernel configuration, the recognition of a
kernel file and of a running kernel, console patterns and titles, memory, tunables, options of the
command line, documents. A new sanitizer is a row here and a fragment in ``images/kernconf``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError
from harness.outcome import Outcome

Named = Callable[[str], str]
"""The plain name of a function, given by its name or by an address in hexadecimal."""

Title = Callable[[str, Named], str]
"""Rewrites a report for comparing; ``harness.console.titles`` takes out numbers and paths."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Memory that a sanitizer takes, all of it from the boot CPU's domain.

    The figures are fitted to measured boots of 13.2 and 15.1; ``images/minimal/README.md`` has
    them, and what in FreeBSD they follow from (``kmem_init``, ``pmap_growkernel``,
    ``pmap_san_enter_alloc_2m``).

    Args:
        least_mib: at least, in MiB.
        each_domain_mib: more for each domain, in MiB.
        each_gib_mib: more for each GiB of the whole guest, in MiB.
        in_default: a first node of default size is larger by as much as all nodes together.
    """

    least_mib: int
    each_domain_mib: int
    each_gib_mib: int
    in_default: bool = False


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """One kernel sanitizer.

    Args:
        name: on the command line, in records and of its fragment in ``images/kernconf``.
        option: of the kernel configuration (config(5)), and its line in ``kern.conftxt``.
        description: in words.
        marker: an ELF symbol that only a kernel with the option has.
        prefix: of its reports on the console.
        report: regular expression of a report that does not panic.
        title: see ``Title``.
        reporters: regular expression of its functions, which a backtrace skips.
        outcome: of a boot with a report; None if the kernel prints reports and goes on.
        alone: no other sanitizer that is ``alone`` fits into the same kernel.
        shadow: memory that it takes; None for none worth counting.
        direct_map: the kernel keeps its direct map, so that slabs come from there at boot.
        names_place: regular expression of reports whose text names the place by itself.
        tunables: that its kernels need on emulated processors.
        goes_on: tunables with which the kernel survives reports. Trees have reports of their own:
            a check or a bisection that ended at the first would see nothing else.
    """

    name: str
    option: str
    description: str
    marker: str
    prefix: str
    report: str
    title: Title
    reporters: str
    outcome: Outcome | None
    alone: bool = True
    shadow: Shadow | None = None
    direct_map: bool = True
    names_place: str | None = None
    tunables: tuple[tuple[str, str], ...] = ()
    goes_on: tuple[tuple[str, str], ...] = ()


_ADDRESS: Final = re.compile(r"0x[0-9a-f]{1,16}")
_ASAN: Final = re.compile(
    r"ASan: Invalid access, \d+-byte (?P<access>\w+) at \w+, (?P<code>\w+)"
)  # fmt: skip
_MSAN_DETAIL: Final = re.compile(
    r", offset \d+(?:/\d+)?|, addr 0x[0-9a-f]+|, origin [0-9a-f]+|\+(?:0x)?[0-9a-f]+"
)
_MSAN_ORIGIN: Final = re.compile(r"from (?P<function>[\w.$]{1,255})", re.ASCII)

_CSAN: Final = re.compile(
    r"(?P<access>(?:Atomic )?(?:Write|Read)) Addr=\w{1,20} Size=\d{1,9}"
    r" PC=\w{1,20}<(?P<function>[^<>]{0,255})>"
)
_VALUE: Final = re.compile(r"(?<![\w.:/-])-?\d+(?![\w:])")


def _asan(message: str, named: Named) -> str:
    """Kind of access and reason (``sys/kern/subr_asan.c``, ``kasan_report``)."""
    if found := _ASAN.match(message):
        return f"ASan: Invalid access, {found['access']}, {found['code']}"
    return _msan(message, named)


def _msan(message: str, named: Named) -> str:
    """Functions in place of addresses, no offsets (``sys/kern/subr_msan.c``,
    ``kmsan_report_hook`` and ``kmsan_report_inline``).
    """
    text = _ADDRESS.sub(lambda found: named(found[0]), _MSAN_DETAIL.sub("", message))
    return _MSAN_ORIGIN.sub(lambda found: f"from {named(found['function'])}", text)


def _csan(message: str, named: Named) -> str:
    """Both accesses in one order, without CPUs (``sys/kern/subr_csan.c``, ``kcsan_report``).

    Which of two racing accesses finds the other is chance.
    """
    accesses = sorted(
        f"{found['access']} in {named(found['function']) or '?'}"
        for found in _CSAN.finditer(message)
    )
    return f"CSan: Racy Access, {', '.join(accesses)}" if accesses else message


def _ubsan(message: str, named: Named) -> str:
    """No values, whatever their sign and size (``sys/kern/kern_ubsan.c``)."""
    return _VALUE.sub("N", message)


KASAN: Final = Sanitizer(
    name="kasan",
    option="KASAN",
    description="kernel address sanitizer",
    marker="kasan_init",
    prefix="ASan: ",
    report=r"ASan: Invalid access, .*",
    title=_asan,
    reporters=r"(?:__|k|h)?h?w?asan_\w+",
    outcome=Outcome.KASAN,
    shadow=Shadow(284, 40, 10),
    direct_map=False,
)

KMSAN: Final = Sanitizer(
    name="kmsan",
    option="KMSAN",
    description="kernel memory sanitizer",
    marker="kmsan_init",
    prefix="MSan: ",
    report=r"MSan: [Uu]ninitialized .*",
    title=_msan,
    reporters=r"(?:__|k|h)?msan_\w+",
    outcome=Outcome.KMSAN,
    shadow=Shadow(300, 600, 240, in_default=True),
    direct_map=False,
    names_place=r"MSan: uninitialized variable in",
    goes_on=(("debug.kmsan.panic_on_violation", "0"),),  # sys/kern/subr_msan.c
)

KCSAN: Final = Sanitizer(
    name="kcsan",
    option="KCSAN",
    description="kernel concurrency sanitizer",
    marker="__tsan_func_entry",
    prefix="CSan: ",
    report=r"CSan: Racy Access .*",
    title=_csan,
    reporters=r"k?csan_\w+|__tsan_\w+",
    outcome=None,
    # It waits by DELAY(9) for another CPU to race. TCG's TSC is not called invariant; without that
    # 13.2 waits by the i8254 and recurses on its lock, and 15.1 waits late or never.
    tunables=(("kern.timecounter.invariant_tsc", "1"),),  # sys/*/*/tsc.c
)

KUBSAN: Final = Sanitizer(
    name="kubsan",
    option="KUBSAN",
    description="kernel undefined behavior sanitizer",
    marker="__ubsan_handle_add_overflow",
    prefix="UBSan: ",
    report=r"UBSan: .*",
    title=_ubsan,
    reporters=r"__ubsan_\w+|Handle[A-Z]\w+|Report",  # sys/kern/kern_ubsan.c
    outcome=None,
    alone=False,
)

TABLE: Final = (KASAN, KMSAN, KCSAN, KUBSAN)

_BY_NAME: Final = {row.name: row for row in TABLE}

#: Outcomes of boots with a report that counts.
OUTCOMES: Final = frozenset(row.outcome for row in TABLE if row.outcome is not None)

_NONE: Final = "none"
_SEPARATOR: Final = re.compile(r"[,+]")


class Sanitizers(frozenset[Sanitizer]):
    """The sanitizers of one kernel; its text is ``none``, ``kasan`` or ``kasan+kubsan``.

    Documents hold the text, which ``parse_sanitizers`` reads.
    """

    @property
    def rows(self) -> tuple[Sanitizer, ...]:
        """They, in the order of the table."""
        return tuple(row for row in TABLE if row in self)

    @property
    def options(self) -> tuple[str, ...]:
        """Their options of the kernel configuration, sorted."""
        return tuple(sorted(row.option for row in self))

    @property
    def flags(self) -> str:
        """The options of the command line that ask for them, in words."""
        return " and ".join(f"--{row.name}" for row in self.rows)

    @property
    def direct_map(self) -> bool:
        """Whether the kernel keeps its direct map."""
        return all(row.direct_map for row in self)

    @property
    def tunables(self) -> dict[str, str]:
        """Tunables that the kernel needs; see ``Sanitizer.tunables``."""
        return {name: value for row in self.rows for name, value in row.tunables}

    @property
    def goes_on(self) -> dict[str, str]:
        """Tunables with which the kernel survives reports; see ``Sanitizer.goes_on``."""
        return {name: value for row in self.rows for name, value in row.goes_on}

    def __str__(self) -> str:
        """The names, ``+`` between them."""
        return "+".join(row.name for row in self.rows) or _NONE


NONE: Final = Sanitizers()


def united(*sets: Iterable[Sanitizer]) -> Sanitizers:
    """All sanitizers of these sets, in one kernel.

    Raises:
        UsageError: two of them exclude each other.
    """
    found = Sanitizers(row for rows in sets for row in rows)
    alone = [row.option for row in found.rows if row.alone]
    if len(alone) > 1:
        raise UsageError(
            f"{' and '.join(alone)} exclude each other: a kernel has one of them",
            remedy="name one of them; harness compare takes several as columns",
        )
    return found


def parse_sanitizers(text: str) -> Sanitizers:
    """The set of these names, with ``,`` or ``+`` between them; ``none`` is the empty set.

    Raises:
        UsageError: an unknown name, or two that exclude each other.
    """
    words = [word.strip().lower() for word in _SEPARATOR.split(text)]
    if words == [_NONE]:
        return NONE
    for word in words:
        if word not in _BY_NAME:
            near = difflib.get_close_matches(word, _BY_NAME, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"there is no sanitizer {word!r}",
                remedy=f"{hint}there are {', '.join(_BY_NAME)}",
            )
    return united(_BY_NAME[word] for word in words)


def with_report(message: str) -> Sanitizer | None:
    """The sanitizer whose report a panic's message or a line of the console is, if any."""
    return next((row for row in TABLE if message.startswith(row.prefix)), None)
