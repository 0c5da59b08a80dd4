"""The types of ``record.json``, as far as reports need them. Records may contain more keys.

``to_document`` and ``to_bisect_document`` write it. Earlier versions did not write the keys that
are ``NotRequired``. The published JSON schema is generated from these types
(``harness.cli.schema``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

from harness.host.processid import ProcessId
from harness.host.tables import Complaint, read_table

#: The name of a file or directory, without ``/``; neither ``.`` nor ``..``.
PlainName = Annotated[str, msgspec.Meta(pattern=r"\A(?!\.{1,2}\Z)[^/\0]+\Z")]

Wide = int | Annotated[str, msgspec.Meta(pattern=r"\A-?0x[0-9a-f]+\Z")]
"""A number of up to 64 bits; hexadecimal text above 2**53 (``harness.host.jsontoml``)."""


class _SourceLine(TypedDict):
    function: str
    file: str
    line: int


class _Frame(_SourceLine):
    certain: bool
    inlined: list[_SourceLine]


class _Address(TypedDict):
    function: str
    symbol_offset: Wide
    frame_pointer: Wide | None
    pc: Wide | None
    entry: str


class _Verdict(TypedDict):
    outcome: str
    title: str
    message: str
    warnings: list[str]
    symbolized: list[_Frame]
    titles: NotRequired[list[str]]
    reports: NotRequired[list[str]]
    frames: NotRequired[list[_Address]]
    stage: NotRequired[str]
    kernel_entered: NotRequired[bool]
    offset: NotRequired[int | None]
    seconds: NotRequired[float]


class _HostRun(TypedDict):
    program: str
    sources: str
    compiler: str
    optimisation: str
    shimmed: list[str]
    sanitizers: NotRequired[list[str]]
    kind: str
    text: str
    frames: list[str]
    is_finding: bool


class _Difference(TypedDict):
    first: int
    trace: str
    step: int
    lines: list[str]


class _SearchFinding(TypedDict):
    title: str
    words: str
    case: str
    counts: bool
    times: int
    first: int
    trace: str
    alone: bool


class _Check(TypedDict):
    conclusion: str
    operations: int
    seed: Wide
    model: str
    proof: str
    why: str
    difference: _Difference | None
    asked: NotRequired[str]
    chosen: NotRequired[str]
    changed: NotRequired[list[str]]
    diff: NotRequired[str]
    alike: NotRequired[str]
    subsystem: NotRequired[str]
    setups: NotRequired[int]
    title: NotRequired[str]
    notes: NotRequired[list[str]]
    measured: NotRequired[dict[str, float | bool]]
    host: NotRequired[_HostRun | None]
    findings: NotRequired[list[_SearchFinding]]
    interleavings: NotRequired[dict[str, int]]


class _Kernel(TypedDict):
    label: str


class _Verification(TypedDict):
    build_id: str
    version: str
    sanitizers: list[str]
    doubts: list[str]
    unproven: NotRequired[list[str]]


class _Repeat(TypedDict):
    name: PlainName
    purpose: str
    kernel: str
    accelerator: str
    boot: str
    outcome: str
    title: str
    error: str


class _Program(TypedDict):
    command: str
    status: int | None
    signal: str
    unfinished: str
    good: bool
    seconds: float
    stdout: int
    stderr: int


class _Cell(TypedDict):
    name: PlainName
    guest: str
    nodes: int
    sanitizer: str
    backend: str
    accelerator: str
    verdict: _Verdict | None
    error: str
    expected: list[str]
    as_expected: bool
    host_failed: bool
    seconds: float
    disagreements: list[str]
    kernel: _Kernel | None
    check: NotRequired[_Check | None]
    why_expected: NotRequired[str]
    assumed: NotRequired[list[str]]
    verification: NotRequired[_Verification | None]
    console: NotRequired[list[str] | None]
    boot: NotRequired[str]
    origin: NotRequired[str]
    repeats: NotRequired[list[_Repeat]]
    opinion: NotRequired[str]
    unrepeated: NotRequired[bool]
    failing: NotRequired[list[str]]
    options: NotRequired[list[str]]
    side: NotRequired[str]
    topology: NotRequired[dict[str, Any]]
    stages: NotRequired[dict[str, float]]
    cpu: NotRequired[dict[str, float]]
    report: NotRequired[dict[str, Any] | None]
    verified: NotRequired[bool]
    on: NotRequired[Literal["guest", "host"]]
    host: NotRequired[_Check | None]
    debug: NotRequired[_Debug | None]
    program: NotRequired[_Program | None]
    bad_expected: NotRequired[bool]
    world: NotRequired[dict[str, Any] | None]
    snapshot: NotRequired[str]


class _DdbAnswer(TypedDict):
    command: str
    output: str
    note: str


class _Ddb(TypedDict):
    answers: list[_DdbAnswer]
    note: str


class _Dump(TypedDict):
    file: str
    bytes: int
    disk: int
    note: str


class _Gdb(TypedDict):
    output: str
    note: str


class _Debug(TypedDict):
    ddb: _Ddb | None
    dump: _Dump | None
    gdb: _Gdb | None


class _Rate(TypedDict):
    cells: Annotated[list[str], msgspec.Meta(min_length=1)]
    boots: int
    outcomes: dict[str, int]


class _Mutant(TypedDict):
    mutant: str
    fate: str
    oracle: str
    seconds: float
    why: str
    equivalent: str
    as_it_should_be: bool
    survival: NotRequired[str]
    digests: NotRequired[list[str]]


class _Tally(TypedDict):
    good: int
    bad: int
    other: int
    builds: bool
    skipped: NotRequired[bool]


class _Answer(TypedDict):
    kind: str
    commits: list[str]
    confidence: float
    reason: NotRequired[str]


class _Failure(TypedDict):
    title: str | None
    own: list[str]
    rate: float


class _Culprit(TypedDict):
    name: str
    author: str
    date: str
    message: str
    diffstat: str


class _Step(_Tally):
    what: str
    commit: str
    expected: str
    holds: bool
    problem: str


class _Reversal(TypedDict):
    earlier: str
    later: str


class _Tested(_Tally):
    commit: str
    subject: str
    verdict: Literal["good", "bad", "skip", "mixed", "untested"]


class _Test(TypedDict):
    build_seconds: float
    seconds: float


class _Bisect(TypedDict):
    fixed: bool
    answer: _Answer
    failure: _Failure
    revisions: int
    candidates: int
    steps: int
    how: NotRequired[Literal["boot", "check", "build"]]
    kernel: NotRequired[str]
    merge_bases: NotRequired[list[str]]
    first_parent: NotRequired[bool]
    reversals: NotRequired[list[_Reversal]]
    error: NotRequired[str]
    end_error: NotRequired[str]
    culprits: list[_Culprit]
    proof: list[_Step]
    line: list[_Tested]
    tests: list[_Test]


class _SuiteTest(TypedDict):
    test: str
    result: str
    reason: str
    seconds: float
    stdout: str
    stderr: str
    cell: str
    known: str
    good: bool


class _SuiteTests(TypedDict):
    tests: list[_SuiteTest]


class Record(TypedDict):
    """``record.json``, which commands that boot guests also print with ``--json``."""

    name: PlainName
    exit_code: int
    cells: list[_Cell]
    command: NotRequired[list[str]]
    started: NotRequired[str]
    harness: NotRequired[str]
    unwritten: NotRequired[list[str]]
    state: NotRequired[Literal["running", "interrupted", "ended"]]
    cause: NotRequired[str]
    planned: NotRequired[list[str]]
    planned_mutants: NotRequired[list[str]]
    owner: NotRequired[ProcessId | None]
    source: NotRequired[str]
    retry_of: NotRequired[str]
    rates: NotRequired[list[_Rate]]
    mutants: NotRequired[list[_Mutant]]
    bisect: NotRequired[_Bisect]
    tests: NotRequired[list[_SuiteTest]]
    wrong_suites: NotRequired[dict[str, str]]
    unexpected_passes: NotRequired[list[str]]
    vanished_tests: NotRequired[list[str]]


def wrong_with(document: Mapping[str, Any]) -> str:
    """Return the key of a record that cannot be reported, and why; empty if there is none."""
    return _complaint(document, Record) or _wrong_answer(document.get("bisect"))


def wrong_with_cell(document: Mapping[str, Any]) -> str:
    """Return the key of a cell that cannot be reported, and why; empty if there is none."""
    return _complaint(document, _Cell)


def wrong_with_tests(document: Mapping[str, Any]) -> str:
    """Return the key of a program's tests that cannot be reported, and why; empty for none."""
    return _complaint(document, _SuiteTests)


def wrong_with_judgement(document: Mapping[str, Any]) -> str:
    """Return the key of a mutant's result that is wrong, and why; empty if there is none."""
    return _complaint(document, _Mutant)


def _complaint(document: Mapping[str, Any], kind: type) -> str:
    try:
        read_table(dict(document), kind)
    except Complaint as complaint:
        return f"{complaint.key}: {complaint.what}" if complaint.key else complaint.what
    return ""


def _wrong_answer(bisect: _Bisect | None) -> str:
    """Return what the types do not check: the keys that each kind of answer requires."""
    if bisect is None:
        return ""
    kind = bisect["answer"]["kind"]
    if kind == "culprit" and not bisect["culprits"]:
        return "bisect.culprits: it is empty"
    if kind not in {"culprit", "several"} and "reason" not in bisect["answer"]:
        return "bisect.answer.reason: it is missing"
    return ""
