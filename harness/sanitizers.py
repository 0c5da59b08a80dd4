"""FreeBSD's kernel sanitizers: a table, and the set of sanitizers of a kernel.

Everything that depends on a sanitizer reads its row: kernel configuration, identification of kernel
files and running kernels, console patterns and titles, memory, tunables, command line options and
documents. A new sanitizer is a row here and a fragment in ``images/kernconf``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from harness.arch import GUEST
from harness.errors import UsageError, did_you_mean
from harness.outcome import Outcome

Named = Callable[[str], str]
"""Returns the plain name of a function, given its name or an address in hexadecimal."""

Title = Callable[[str, Named], str]
"""Returns the title of a report; ``harness.console.titles`` then removes numbers and paths."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Memory that a sanitizer allocates from the boot CPU's domain.

    The values are fitted to measured boots of 13.2 and 15.1. ``images/minimal/README.md`` has the
    measurements and the causes in FreeBSD (``kmem_init``, ``pmap_growkernel``,
    ``pmap_san_enter_alloc_2m``).

    Args:
        least_mib: the constant part, in MiB.
        each_domain_mib: the part for each domain, in MiB.
        each_gib_mib: the part for each GiB of the guest, in MiB.
        in_default: whether it is added to the first node of a default layout.
    """

    least_mib: int
    each_domain_mib: int
    each_gib_mib: int
    in_default: bool = False


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """A kernel sanitizer.

    Args:
        name: its name on the command line, in records and in ``images/kernconf``.
        option: the option of the kernel configuration (config(5)) and in ``kern.conftxt``.
        description: its full name.
        marker: an ELF symbol that only kernels with the option have.
        prefix: the prefix of its reports on the console.
        report: regular expression of a report that does not panic.
        title: returns the title of a report.
        reporters: regular expression of its functions, which a backtrace skips.
        outcome: the outcome of a boot with a report; None if the kernel continues after reports.
        alone: whether it excludes other sanitizers that are ``alone``.
        shadow: the memory that it takes, or None.
        direct_map: whether the kernel keeps its direct map, from which slabs are allocated at boot.
        names_place: regular expression of reports that name their function.
        tunables: tunables that its kernels need on emulated CPUs.
        goes_on: tunables with which the kernel continues after reports. They are set in checks and
            bisections, which would otherwise end at the tree's first own report.
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
    """Return kind of access and reason (``sys/kern/subr_asan.c``, ``kasan_report``)."""
    if found := _ASAN.match(message):
        return f"ASan: Invalid access, {found['access']}, {found['code']}"
    return _msan(message, named)


def _msan(message: str, named: Named) -> str:
    """Return the report with functions instead of addresses, without offsets.

    ``sys/kern/subr_msan.c``, ``kmsan_report_hook`` and ``kmsan_report_inline``.
    """
    text = _ADDRESS.sub(lambda found: named(found[0]), _MSAN_DETAIL.sub("", message))
    return _MSAN_ORIGIN.sub(lambda found: f"from {named(found['function'])}", text)


def _csan(message: str, named: Named) -> str:
    """Return both accesses, sorted, without CPUs (``sys/kern/subr_csan.c``, ``kcsan_report``).

    It is random which of two racing accesses detects the other.
    """
    accesses = sorted(
        f"{found['access']} in {named(found['function']) or '?'}"
        for found in _CSAN.finditer(message)
    )
    return f"CSan: Racy Access, {', '.join(accesses)}" if accesses else message


def _ubsan(message: str, named: Named) -> str:
    """Return the report without values (``sys/kern/kern_ubsan.c``)."""
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
    tunables=GUEST.delay_tunables,  # it waits for a race
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

#: Outcomes of boots with a report that ends the boot.
OUTCOMES: Final = frozenset(row.outcome for row in TABLE if row.outcome is not None)

_NONE: Final = "none"
_SEPARATOR: Final = re.compile(r"[,+]")


class Sanitizers(frozenset[Sanitizer]):
    """The sanitizers of a kernel; as a string ``none``, ``kasan`` or ``kasan+kubsan``.

    Documents contain the string, which ``parse_sanitizers`` parses.
    """

    @property
    def rows(self) -> tuple[Sanitizer, ...]:
        """The sanitizers in the order of the table."""
        return tuple(row for row in TABLE if row in self)

    @property
    def options(self) -> tuple[str, ...]:
        """Their options in the kernel configuration, sorted."""
        return tuple(sorted(row.option for row in self))

    @property
    def flags(self) -> str:
        """Their command line options, for messages."""
        return " and ".join(f"--{row.name}" for row in self.rows)

    @property
    def direct_map(self) -> bool:
        """Whether the kernel keeps its direct map."""
        return all(row.direct_map for row in self)

    @property
    def tunables(self) -> dict[str, str]:
        """Tunables that the kernel needs on emulated CPUs."""
        return {name: value for row in self.rows for name, value in row.tunables}

    @property
    def goes_on(self) -> dict[str, str]:
        """Tunables with which the kernel continues after reports."""
        return {name: value for row in self.rows for name, value in row.goes_on}

    def __str__(self) -> str:
        """Return the names, separated by ``+``."""
        return "+".join(row.name for row in self.rows) or _NONE


NONE: Final = Sanitizers()


def united(*sets: Iterable[Sanitizer]) -> Sanitizers:
    """Return the union of sets of sanitizers.

    Raises:
        UsageError: two of them exclude each other.
    """
    found = Sanitizers(row for rows in sets for row in rows)
    alone = [row.option for row in found.rows if row.alone]
    if len(alone) > 1:
        raise UsageError(
            f"{' and '.join(alone)} exclude each other in a kernel",
            remedy="name one of them, or compare several: harness compare",
        )
    return found


def parse_sanitizers(text: str) -> Sanitizers:
    """Return the sanitizers named in a text, separated by ``,`` or ``+``; ``none``: no sanitizer.

    Raises:
        UsageError: a name is unknown, or two sanitizers exclude each other.
    """
    words = [word.strip().lower() for word in _SEPARATOR.split(text)]
    if words == [_NONE]:
        return NONE
    for word in words:
        if word not in _BY_NAME:
            hint = did_you_mean(word, _BY_NAME)
            raise UsageError(
                f"there is no sanitizer {word!r}",
                remedy=f"{hint}known sanitizers: {', '.join(_BY_NAME)}",
            )
    return united(_BY_NAME[word] for word in words)


def with_report(message: str) -> Sanitizer | None:
    """Return the sanitizer whose report a panic message or console line is, or None."""
    return next((row for row in TABLE if message.startswith(row.prefix)), None)
