"""Whether a boot proves anything: that this kernel ran, on this machine, in this boot.

A pass needs init's report with this boot's nonce and this kernel's identity. A failure needs the
kernel's own banner, with its release and its ident, before it. Both need the machine that was
asked for, in QEMU's own words. What lacks that is ``unverified``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.console import events as e
from harness.console.parser import ConsoleParser
from harness.console.report import GuestReport, ReportError, read_report
from harness.console.titles import scrub
from harness.guest.tables import slit_differences
from harness.outcome import Outcome

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kernel.elf import KernelFacts
    from harness.verdict import Verdict

#: Outcomes that say something about the kernel, if the kernel is known.
_OF_THE_KERNEL: Final = frozenset(Outcome) - {Outcome.LOADER, Outcome.FIRMWARE, Outcome.UNVERIFIED}


class Banner(StrEnum):
    """Which kernel's banner a console shows before what ended the boot."""

    EXPECTED = "expected"
    OTHER = "other"
    """of another release or configuration than the file that was to boot"""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a boot proves.

    Args:
        nonce: what this boot's report must carry.
        build_id: of the kernel file that was booted, in hexadecimal; empty if it has none.
        version: the file's banner, its first line.
        sanitizers: FreeBSD's options, of the file.
        banner: whether the console shows that banner.
        identified: whether a whole report has the nonce and comes from that kernel.
        doubts: what speaks against it, in words; none if the boot proves what it shows.
        unproven: what nothing proves of the machine, in words.
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
        """Whether nothing speaks against it but that the kernel's banner is missing."""
        return self.banner is Banner.MISSING and self.doubts == _BANNER_DOUBTS[Banner.MISSING]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a boot is held against.

    Args:
        nonce: what it was given in its kernel environment.
        facts: of the kernel file that was to boot.
        topology: of the machine that was asked for.
        machine_differences: where QEMU has started another one, in words.
        unproven: what nothing proves of that machine, in words; empty if QEMU describes it.
    """

    nonce: str
    facts: KernelFacts
    topology: Topology
    machine_differences: tuple[str, ...]
    unproven: tuple[str, ...] = ()

    def proven_report(self, events: Iterable[e.Event]) -> GuestReport | None:
        """The report, once it is there and proves which kernel runs on which machine."""
        told = list(events)
        report, _ = report_of(told, self.nonce)
        if report is None or self.machine_differences or any(_strange_reports(told, self.nonce)):
            return None
        return None if any(self.doubts_of(report)) else report

    def doubts_of(self, report: GuestReport) -> Iterator[str]:
        """Where a report comes from another kernel or another machine, in words."""
        yield from _other_kernel(report, self.facts)
        yield from slit_differences(self.topology, report.tables)


def report_of(events: Iterable[e.Event], nonce: str) -> tuple[GuestReport | None, tuple[str, ...]]:
    """The report of the boot with that nonce if it is there whole, else why it is not."""
    told = list(events)
    records = [one for one in told if isinstance(one, e.ProbeRecord) and one.nonce == nonce]
    if not records:
        return None, ("no report with this boot's nonce came from the guest's init",)
    if not any(isinstance(one, e.ReportComplete) and one.nonce == nonce for one in told):
        return None, (f"the report of the guest's init is cut: {len(records)} records, no end",)
    try:
        return read_report(records), ()
    except ReportError as error:
        return None, (f"the report of the guest's init cannot be read: {error}",)


def verification_of(
    events: Sequence[e.Event], verdict: Verdict, evidence: Evidence
) -> tuple[Verification, GuestReport | None]:
    """What a boot proves, and its report.

    Args:
        events: all of the console's.
        verdict: what they show.
        evidence: what they are held against.
    """
    nonce, facts = evidence.nonce, evidence.facts
    report, missing = report_of(events, nonce)
    banner = banner_before(events, verdict.offset, facts.version)
    other = tuple(evidence.doubts_of(report)) if report else _told_otherwise(events, nonce, facts)
    identified = report is not None and not other
    doubts = [*evidence.machine_differences, *_strange_reports(events, nonce), *other]
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
    Banner.OTHER: ("the kernel that failed has another banner than the one that was to boot",),
    Banner.MISSING: ("it failed before the kernel's banner, so that nothing tells which it was",),
}


def banner_before(events: Iterable[e.Event], offset: int | None, version: str) -> Banner:
    """Which kernel was the last to start before that place on the console (None: its end)."""
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
    """The kernel's version text, read as a console shows it (``print_version()``, init_main.c)."""
    parser = ConsoleParser()
    text = f"{version.rstrip()} {GUEST.name}\n"
    for event in (*parser.feed(text.encode()), *parser.close()):
        if isinstance(event, e.KernelStarted):
            yield event


def _strange_reports(events: Iterable[e.Event], nonce: str) -> Iterator[str]:
    """Reports that cannot be this boot's, which a sound guest never prints."""
    strangers = {one.nonce for one in events if isinstance(one, e.ProbeRecord)} - {nonce}
    for stranger in sorted(strangers):
        boot = f"with the nonce {stranger}" if stranger else "without a nonce"
        yield f"the console holds the report of another boot, {boot}"
    for event in events:
        if isinstance(event, e.ProbeConflict) and event.nonce == nonce:
            yield f"two records {event.number:04} of the guest's report contradict each other"
            return


def _other_kernel(report: GuestReport, facts: KernelFacts) -> Iterator[str]:
    """Where the kernel that reports is not the one in the file."""
    if facts.build_id or report.build_id:
        if report.build_id != facts.build_id:
            yield (
                f"the kernel that runs has the build id {report.build_id or 'none'}, the file "
                f"that was to boot {facts.build_id or 'none'}"
            )
    elif report.version != facts.version:
        yield (
            f"the kernel that runs is {_line(report.version)}, the file that was to boot "
            f"{_line(facts.version)}"
        )
    if report.sanitizers is not None and set(report.sanitizers) != set(facts.sanitizers.options):
        yield (
            f"the kernel that runs was configured with {_words(report.sanitizers)}, the file "
            f"that was to boot has {_words(facts.sanitizers.options)}"
        )


def _told_otherwise(events: Iterable[e.Event], nonce: str, facts: KernelFacts) -> tuple[str, ...]:
    """The same of a report that is cut, by its one record of the kernel."""
    told = (
        value
        for event in events
        if isinstance(event, e.ProbeRecord) and (event.nonce, event.name) == (nonce, "kernel")
        for key, value in event.fields
        if key == "build_id" and value != facts.build_id
    )
    return tuple(f"the kernel that runs has another build id, {value or 'none'}" for value in told)


def _line(version: str) -> str:
    return repr(" ".join(version.split()))


def _words(sanitizers: Sequence[str]) -> str:
    return ", ".join(sanitizers) or "no sanitizer"


def doubting(verification: Verification, differences: Sequence[str]) -> Verification:
    """The same of a machine that nothing but its kernel describes, where that is another one than
    was asked for: kernel or description may be wrong.
    """
    why = "; nothing proves which of the two is the machine"
    doubts = tuple(f"{difference}{why}" for difference in differences)
    return replace(verification, doubts=(*verification.doubts, *doubts))


def weighed(verdict: Verdict, verification: Verification, differences: Sequence[str]) -> Verdict:
    """What counts of a verdict: nothing without proof, and never a pass for another machine.

    Args:
        verdict: what the console shows.
        verification: what the boot proves.
        differences: where the kernel sees another machine than was asked for, in words.
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
