"""What ran in a night: the result of one cell at one revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Purpose(StrEnum):
    """Why something ran."""

    PLANNED = "planned"
    """it is a cell of the plan"""
    CONTROL = "control"
    """a mutant, which must fail in the way that the plan states"""
    REPEAT = "repeat"
    """a new failure is repeated, with no other guest of this night running"""
    PROOF = "proof"
    """a culprit or its parent, in a cell that the culprit is credited with"""
    TIMING = "timing"
    """its CPU time is measured, with no other guest of this night running"""

    @property
    def sights(self) -> bool:
        """Whether a failure counts as seen: it was not booted because of that failure."""
        return self in (Purpose.PLANNED, Purpose.TIMING)


class Status(StrEnum):
    """What a result says about the kernel."""

    PASSED = "passed"
    FAILED = "failed"
    """the kernel failed, differs from the model, or a control did not fail as stated"""
    UNBUILT = "does not build"
    HOST_FAILED = "host failed"
    """the host failed, or the boot is unverified: nothing is known of the kernel"""
    NOT_RUN = "not run"
    """the budget or the end of the night left it out"""

    @property
    def tells(self) -> bool:
        """Whether it is a verdict on the kernel."""
        return self in (Status.PASSED, Status.FAILED, Status.UNBUILT)


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A cell of one branch: the row of a matrix whose columns are revisions.

    Args:
        branch: name of the tree and the branch in the plan, ``stable-13:main``.
        cell: name of the cell in the plan, ``boot-kasan-numa4``.
    """

    branch: str
    cell: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a test of a suite that a command ran.

    Args:
        name: the suite's directory, the program and the test case:
            ``sys/vm/mmap_test:mmap__bad_arguments``.
        outcome: how it ended, in kyua's words.
        good: whether nothing is wrong with the kernel.
        reason: why, in the test's words.
        seconds: its duration.
    """

    name: str
    outcome: str
    good: bool
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one cell at one revision.

    A text of a guest, such as ``title`` or a frame, may contain anything: escape it for its output.

    Args:
        slot: the branch and the cell.
        commit: the revision.
        status: what it says about the kernel.
        purpose: why it ran.
        attempt: counts results of the same slot, commit and purpose, from 0.
        id: its number in the history; 0 if it is not stored.
        kind: ``boot``, ``check`` or ``build``.
        outcome: the verdict's ``Outcome``; empty without a verdict.
        title: the verdict's title, the mismatch, or the build's first error; comparable.
        detail: the verdict's message, or the build's last lines.
        artifact: digest of the kernel's code and data; equal digests mean equal kernels.
        kernel: the kernel's key in the cache; empty if it is not there.
        configuration: sanitizers and options of the kernel.
        topology: nodes, memory and CPUs, in words.
        guest: FreeBSD and its release, or the built-in guest.
        host: name of the host.
        accelerator: kvm or tcg.
        method: how the kernel was loaded: loader or direct.
        started: when it started.
        seconds: from the guest's start to its end, or the build's duration.
        stages: seconds from the guest's start to each stage.
        cpu: seconds of CPU time that QEMU had used at each stage.
        frames: the symbolized backtrace, innermost first: ``SymbolizedFrame`` as JSON.
        seed: the check's seed; None without a check.
        console: SHA-256 of the console; empty if there is none.
        offset: position of the failure on the console, in bytes; None if unknown.
        run: name of the record.
        record_cell: name of the record's cell.
        shared: the ``id`` of the result that a revision with an equal kernel shares; None: it ran.
        opinions: the second opinions of the boot, each with its outcome and title.
        tests: the results of all tests of a suite that ran to its end; empty for others.
    """

    slot: Slot
    commit: str
    status: Status
    purpose: Purpose = Purpose.PLANNED
    attempt: int = 0
    id: int = 0
    kind: str = "boot"
    outcome: str = ""
    title: str = ""
    detail: str = ""
    artifact: str = ""
    kernel: str = ""
    configuration: str = ""
    topology: str = ""
    guest: str = ""
    host: str = ""
    accelerator: str = ""
    method: str = ""
    started: datetime | None = None
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    cpu: Mapping[str, float] = field(default_factory=dict)
    frames: tuple[Mapping[str, Any], ...] = ()
    seed: int | None = None
    console: str = ""
    offset: int | None = None
    run: str = ""
    record_cell: str = ""
    shared: int | None = None
    opinions: tuple[Mapping[str, Any], ...] = ()
    tests: tuple[CaseResult, ...] = ()

    @property
    def ran(self) -> bool:
        """Whether it counts in rates: a guest or a compiler ran for it."""
        return self.shared is None and self.status is not Status.NOT_RUN
