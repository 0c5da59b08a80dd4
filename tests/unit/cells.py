"""Cells and runs for tests of records and of how they are told."""

from __future__ import annotations

from typing import Any

from harness.console.stages import Stage
from harness.console.symbolize import Location, SymbolizedFrame
from harness.kernel.artifact import KernelIdentity
from harness.outcome import Outcome
from harness.results.record import Cell, Run
from harness.sanitizers import KASAN, Sanitizers
from harness.verdict import Verdict
from harness.verification import Banner, Verification

IDENTITY = KernelIdentity(
    key="k", source="tree", label="1a2b3c4d5e", commit="c" * 40, tree="t", dirty=False, patch=None,
    mutant=None, release="13.2-RELEASE", kernconf="HARNESS-KASAN", sanitizer=Sanitizers({KASAN}),
    compiler="clang version 14",
)  # fmt: skip

FRAMES = (
    SymbolizedFrame("panic", "sys/kern/kern_shutdown.c", 843),
    SymbolizedFrame(
        "kmem_init", "sys/vm/vm_kern.c", 7, (Location("vm_map_init", "sys/vm/vm_map.c", 3),)
    ),
    SymbolizedFrame("init", "sys/dev/a.c", 5, certain=False),
    SymbolizedFrame("btext", "", 0),
)


def cell(outcome: Outcome | None = Outcome.BOOTED, **changed: Any) -> Cell:
    """A cell of a FreeBSD guest; no outcome: the host failed before there was one."""
    verdict = None
    if outcome is not None:
        words: dict[str, Any] = {"title": "booted to init"}
        if outcome is not Outcome.BOOTED:
            words = {"title": "kernel resources exhausted", "message": "kernel resources: 4096"}
            words["symbolized"] = FRAMES
        words |= {"warnings": changed.pop("warnings", ()), **changed.pop("words", {})}
        verdict = Verdict(outcome, stage=Stage.KERNEL, kernel_entered=True, **words)
    defaults: dict[str, Any] = {
        "name": "kasan-numa2", "side": "", "guest": "FreeBSD 13.2-RELEASE", "nodes": 2,
        "sanitizer": "kasan", "backend": "qemu", "accelerator": "tcg", "kernel": IDENTITY,
        "verdict": verdict, "seconds": 12.345,
    }  # fmt: skip
    return Cell(**{**defaults, **changed})


def unproven(**changed: Any) -> Cell:
    """A cell whose guest told another build id."""
    doubt = "the running kernel has the build id 77, the kernel file ab12"
    verification = Verification(
        "0123456789abcdef", "ab12", "FreeBSD 13.2-RELEASE GREEN", ("KASAN",), Banner.EXPECTED,
        identified=False, doubts=(doubt,),
    )  # fmt: skip
    words = {"title": doubt, "message": doubt}
    return cell(
        Outcome.UNVERIFIED, words=words, verification=verification,
        console=("login: \\x1b[2J", "the last line"), **changed,
    )  # fmt: skip


def run(*cells: Cell) -> Run:
    return Run("20260102-030405-boot", ("boot",), "2026-01-02T03:04:05+00:00", "1", cells)
