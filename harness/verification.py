"""Verification of a boot: which kernel ran, on which machine, in which boot. Pure.

A pass requires init's report with the boot's nonce and the kernel's identity. A failure requires
the kernel's banner before it, with release and ident. Both require that QEMU reports the requested
machine. A boot without this evidence is ``unverified``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.console import events as e
from harness.console.parser import ConsoleParser
from harness.console.report import (
    GuestReport,
    ReportError,
    ReportReaders,
    read_report,
)
from harness.console.titles import scrub
from harness.guest.slit import slit_differences
from harness.outcome import Outcome

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kernel.elf import KernelFacts
    from harness.verdict import Verdict

#: Outcomes of the kernel, if the kernel is verified.
_OF_THE_KERNEL: Final = frozenset(Outcome) - {Outcome.LOADER, Outcome.FIRMWARE, Outcome.UNVERIFIED}


class Banner(StrEnum):
    """The kernel's banner on the console before the cause."""

    EXPECTED = "expected"
    OTHER = "other"
    """of another release or configuration than the kernel file"""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of the verification.

    Args:
        nonce: the nonce of the boot.
        build_id: the kernel file's build ID, in hexadecimal; empty if it has none.
        version: the first line of the kernel file's banner.
        sanitizers: the sanitizers of the kernel file, as FreeBSD's options.
        banner: whether the console shows this banner.
        identified: whether a complete report has the nonce and is of this kernel.
        doubts: the evidence that is missing or wrong; empty if the boot is verified.
        unproven: properties of the machine that cannot be verified.
    """

    nonce: str
    build_id: str
    version: str
    sanitizers: tuple[str, ...]
    banner: Banner
    identified: bool
    doubts: tuple[str, ...]
    unproven: tuple[str, ...] = ()

    @property
    def lacks_banner_only(self) -> bool:
        """Whether the only missing evidence is the kernel's banner."""
        return self.banner is Banner.MISSING and self.doubts == _BANNER_DOUBTS[Banner.MISSING]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The values that a boot is verified against.

    Args:
        nonce: the nonce in its kernel environment.
        facts: the facts of the kernel file.
        topology: the topology of the requested machine.
        machine_differences: differences of the machine that QEMU started.
        unproven: properties of the machine that cannot be verified; empty if QEMU reports it.
        readers: what reads subsystems' parts of the report.
    """

    nonce: str
    facts: KernelFacts
    topology: Topology
    machine_differences: tuple[str, ...]
    unproven: tuple[str, ...] = ()
    readers: ReportReaders = field(default_factory=dict)

    def proven_report(self, events: Iterable[e.Event]) -> GuestReport | None:
        """Return the report if it is complete and verifies kernel and machine, else None."""
        seen = list(events)
        report, _ = self.report_of(seen)
        if report is None or self.machine_differences or any(_foreign_reports(seen, self.nonce)):
            return None
        return None if any(self.doubts_of(report)) else report

    def report_of(self, events: Iterable[e.Event]) -> tuple[GuestReport | None, tuple[str, ...]]:
        """Return this boot's report, or None and why it is missing."""
        seen = list(events)
        records = [x for x in seen if isinstance(x, e.ProbeRecord) and x.nonce == self.nonce]
        if not records:
            return None, ("init printed no report with this boot's nonce",)
        if not any(isinstance(x, e.ReportComplete) and x.nonce == self.nonce for x in seen):
            return None, (f"init's report is incomplete: {len(records)} records, no end",)
        try:
            return read_report(records, self.readers), ()
        except ReportError as error:
            return None, (f"init's report cannot be read: {error}",)

    def doubts_of(self, report: GuestReport) -> Iterator[str]:
        """Generate the differences of a report to the kernel file and the requested machine."""
        yield from _other_kernel(report, self.facts)
        yield from slit_differences(self.topology, report.tables)


def verification_of(
    events: Sequence[e.Event], verdict: Verdict, evidence: Evidence
) -> tuple[Verification, GuestReport | None]:
    """Return the verification of a boot, and init's report.

    Args:
        events: all events of the console.
        verdict: the verdict on them.
        evidence: the values to verify against.
    """
    nonce, facts = evidence.nonce, evidence.facts
    report, missing = evidence.report_of(events)
    banner = banner_before(events, verdict.offset, facts.version)
    other = tuple(evidence.doubts_of(report)) if report else _other_build_id(events, nonce, facts)
    identified = report is not None and not other
    doubts = [*evidence.machine_differences, *_foreign_reports(events, nonce), *other]
    if verdict.outcome is Outcome.BOOTED:
        doubts += missing
    elif verdict.outcome in _OF_THE_KERNEL and not identified:
        doubts += _BANNER_DOUBTS[banner]
    return (
        Verification(
            nonce=nonce,
            build_id=facts.build_id,
            version=facts.version.strip().partition("\n")[0],
            sanitizers=facts.sanitizers.options,
            banner=banner,
            identified=identified,
            doubts=tuple(doubts),
            unproven=evidence.unproven,
        ),
        report,
    )


_BANNER_DOUBTS: Final = {
    Banner.EXPECTED: (),
    Banner.OTHER: ("the kernel that failed has another banner than the kernel file",),
    Banner.MISSING: ("it failed before the kernel's banner, which identifies the kernel",),
}


def banner_before(events: Iterable[e.Event], offset: int | None, version: str) -> Banner:
    """Return whose banner is the last before an offset of the console (None: its end)."""
    started = [
        event
        for event in events
        if isinstance(event, e.KernelStarted) and (offset is None or event.offset <= offset)
    ]
    if not started:
        return Banner.MISSING
    last = started[-1]
    expected = [(own.release, own.ident) for own in banners_of(version)]
    return Banner.EXPECTED if (last.release, last.ident) in expected else Banner.OTHER


def banners_of(version: str) -> Iterator[e.KernelStarted]:
    """Generate the banner of a version text, parsed as on a console (``print_version()``)."""
    parser = ConsoleParser()
    text = f"{version.rstrip()} {GUEST.name}\n"
    for event in (*parser.feed(text.encode()), *parser.close()):
        if isinstance(event, e.KernelStarted):
            yield event


def _foreign_reports(events: Iterable[e.Event], nonce: str) -> Iterator[str]:
    """Generate doubts about reports of other boots, and contradictory records."""
    strangers = {one.nonce for one in events if isinstance(one, e.ProbeRecord)} - {nonce}
    for stranger in sorted(strangers):
        boot = f"with the nonce {stranger}" if stranger else "without a nonce"
        yield f"the console contains the report of another boot, {boot}"
    for event in events:
        if isinstance(event, e.ProbeConflict) and event.nonce == nonce:
            yield f"two records {event.number:04} of init's report contradict each other"
            return


def _other_kernel(report: GuestReport, facts: KernelFacts) -> Iterator[str]:
    """Generate the differences between the running kernel and the kernel file."""
    if facts.build_id or report.build_id:
        if report.build_id != facts.build_id:
            yield (
                f"the running kernel has the build id {report.build_id or 'none'}, the kernel file "
                f"{facts.build_id or 'none'}"
            )
    elif report.version != facts.version:
        yield (
            f"the running kernel is {_line(report.version)}, the kernel file {_line(facts.version)}"
        )
    if report.sanitizers is not None and set(report.sanitizers) != set(facts.sanitizers.options):
        yield (
            f"the running kernel was configured with {_words(report.sanitizers)}, the kernel file "
            f"with {_words(facts.sanitizers.options)}"
        )


def _other_build_id(events: Iterable[e.Event], nonce: str, facts: KernelFacts) -> tuple[str, ...]:
    """Return the doubt about an incomplete report with another build ID in its kernel record."""
    others = (
        value
        for event in events
        if isinstance(event, e.ProbeRecord) and (event.nonce, event.name) == (nonce, "kernel")
        for key, value in event.fields
        if key == "build_id" and value != facts.build_id
    )
    return tuple(f"the running kernel has another build id, {value or 'none'}" for value in others)


def _line(version: str) -> str:
    return repr(" ".join(version.split()))


def _words(sanitizers: Sequence[str]) -> str:
    return ", ".join(sanitizers) or "no sanitizer"


def doubting(verification: Verification, differences: Sequence[str]) -> Verification:
    """Return the verification with doubts about a machine that only its kernel reports.

    If it differs from the requested machine, the kernel or the request may be wrong.
    """
    why = "; nothing proves which of the two is the machine"
    doubts = tuple(f"{difference}{why}" for difference in differences)
    return replace(verification, doubts=(*verification.doubts, *doubts))


def weighed(verdict: Verdict, verification: Verification, differences: Sequence[str]) -> Verdict:
    """Return the verdict after verification: ``unverified``, ``differs`` or unchanged.

    Args:
        verdict: the verdict on the console.
        verification: the verification of the boot.
        differences: differences between the requested machine and the one that the kernel sees.
    """
    if verdict.outcome not in _OF_THE_KERNEL:
        return verdict
    if verification.doubts:
        shown = "" if verdict.outcome is Outcome.BOOTED else f" (shown: {verdict.title})"
        return replace(
            verdict,
            outcome=Outcome.UNVERIFIED,
            title=f"{verification.doubts[0]}{shown}",
            message="\n".join(verification.doubts),
        )
    if verdict.outcome is Outcome.BOOTED and differences:
        return replace(
            verdict,
            outcome=Outcome.DIFFERS,
            title=scrub(differences[0]),
            message="\n".join(differences),
        )
    return verdict
