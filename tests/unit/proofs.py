"""Consoles of guests that prove what they are, or do not."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from harness.console.events import Event
from harness.console.parser import ConsoleParser
from harness.console.stages import Stage
from harness.guest.topology import Topology
from harness.kernel.elf import KernelFacts
from harness.outcome import Ending, Outcome, Until
from harness.sanitizers import KASAN, Sanitizers
from harness.verdict import Verdict, judge
from harness.verification import Evidence, Verification, verification_of, weighed

NONCE, OLD_NONCE = "0123456789abcdef", "fedcba9876543210"
BUILD_ID, OTHER_BUILD_ID = "ab" * 20, "cd" * 20
VERSION = "FreeBSD 14.1-STABLE #0 main-n1: Sun Nov 22 14:59:45 UTC 2026\n    a@b:/o/sys/GREEN\n"
FACTS = KernelFacts(BUILD_ID, VERSION, Sanitizers({KASAN}), 14 << 20)
EVIDENCE = Evidence(NONCE, FACTS, Topology.even(1), ())

BANNER = [*VERSION.rstrip().split("\n")[:1], f"{VERSION.rstrip().split(chr(10))[1]} amd64"]
OTHER_IDENT = [BANNER[0], "    a@b:/o/sys/BLUE amd64"]
OTHER_RELEASE = [BANNER[0].replace("14.1-STABLE", "14.0-RELEASE"), BANNER[1]]
PANIC = ["panic: out of green ideas", "cpuid = 1", "time = 1", "KDB: stack backtrace:"]

FIELDS: Mapping[str, str] = {
    "begin": "version=2 guest=freebsd",
    "kernel": f"release=14.1-STABLE osreldate=1401500 ident=GREEN build_id={BUILD_ID}",
    "version": "text=" + VERSION.replace(" ", "%20").replace("\n", "%0a").replace("#", "%23")
    .replace("@", "%40"),
    "config": "sanitizers=KASAN numa=1",
    "topology": "domains=1 cpus=1",
    "cpu": "id=0 domain=0",
    "memory": "domain=0 pages=240000 page_size=4096",
}  # fmt: skip


def line(number: int, text: str, nonce: str = NONCE) -> str:
    body = f"{nonce} {number:04} {text}".strip()
    return f"@harness {body} *{zlib.crc32(body.encode()):08x}"


def report(nonce: str = NONCE, **changed: str | None) -> list[str]:
    """The lines of a report; None leaves a record out."""
    fields = {**FIELDS, **changed}
    texts = [f"{name} {text}" for name, text in fields.items() if text is not None]
    texts.append(f"end records={len(texts) + 1}")
    return [line(number, text, nonce) for number, text in enumerate(texts)]


def events_of(lines: Iterable[str]) -> list[Event]:
    parser = ConsoleParser()
    text = "".join(f"{one}\r\n" for one in ("---<<BOOT>>---", *lines))
    return parser.feed(text.encode()) + parser.close()


def weighed_console(
    lines: Iterable[str],
    evidence: Evidence = EVIDENCE,
    until: Until = Until.INIT,
    differences: tuple[str, ...] = (),
) -> tuple[Verdict, Verification]:
    """What a console comes to, of a guest that has ended by itself."""
    events = events_of(lines)
    shown = judge(events, Ending.EXITED, until, first_stage=Stage.KERNEL)
    verification, _ = verification_of(events, shown, evidence)
    return weighed(shown, verification, differences), verification


def outcome_of(lines: Iterable[str], evidence: Evidence = EVIDENCE) -> Outcome:
    return weighed_console(lines, evidence)[0].outcome
