"""The types of what ``--json`` prints, by command; ``schema`` is added to each.

A command that boots guests prints its ``harness.results.schema.Record``. Documents may hold more
than these types say.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec

from harness.cli.failure import ErrorDocument
from harness.guest.registry import KeptGuest
from harness.host.doctor import HostFinding
from harness.results.schema import Record, Wide

Count = Annotated[int, msgspec.Meta(ge=0)]


class DoctorDocument(TypedDict):
    """What this host can do."""

    possible: bool
    findings: list[HostFinding]
    repairs: list[str]


class BuildDocument(TypedDict):
    """A kernel that was built: what it was made from, and its files."""

    key: str
    source: str
    label: str
    commit: str | None
    tree: str
    dirty: bool
    patch: str | None
    mutant: str | None
    release: str
    kernconf: str
    sanitizer: str
    options: list[str]
    compiler: str
    kernel: str
    debug: str


class DryRunDocument(TypedDict):
    """``boot --dry-run``: the command line or the domain XML."""

    guest: str


class ListedMutant(TypedDict):
    """One entry of ``mutants --list``."""

    name: str
    description: str
    file: str
    function: str
    only: str
    equivalent: str


class MutantListDocument(TypedDict):
    """``mutants --list``."""

    mutants: list[ListedMutant]


class ShownBoot(TypedDict):
    """What a case's command must come to."""

    release: str
    side: str
    outcome: str
    title: str
    agrees: bool | None


class ListedCase(TypedDict):
    """One entry of ``cases``."""

    name: str
    story: str
    introduced: str
    fixed: str
    functions: list[str]
    command: str
    vm: str
    shown: list[ShownBoot]


class CasesDocument(TypedDict):
    """``cases``."""

    cases: list[ListedCase]


class PredictedBoot(TypedDict):
    """What the model predicts for one topology; a subsystem's model may say more."""

    nodes: Count
    domains: list[Count]
    outcome: str
    title: str
    why: str


class PredictDocument(TypedDict):
    """``model predict``."""

    guest: str
    sanitizer: str
    subsystem: str
    variant: str
    proof: str
    assumed: bool
    read: list[str]
    predictions: list[PredictedBoot]


class TracedStep(TypedDict):
    """One operation of a trace."""

    number: Count
    operation: str
    result: str
    why: list[str]
    values: dict[str, Any]


class TraceDocument(TypedDict):
    """``model trace``."""

    subsystem: str
    variant: str
    proof: str
    steps: list[TracedStep]


class ExploredStates(TypedDict):
    """All states of one small setup; a subsystem may say more of it."""

    variant: str
    proof: str
    states: Count
    operations: Count
    proven: bool
    broken: dict[str, str]


class ExploreDocument(TypedDict):
    """``model explore``."""

    subsystem: str
    findings: list[ExploredStates]


class JudgedFrame(TypedDict):
    """One line of a log's backtrace."""

    function: str
    offset: Wide
    pc: Wide | None
    entry: str
    file: str
    line: int
    inlined: list[dict[str, Any]]


class JudgedLogDocument(TypedDict):
    """What one log shows."""

    file: str
    verified: bool
    outcome: str
    title: str
    titles: list[str]
    reports: list[str]
    message: str
    frames: list[JudgedFrame]
    warnings: list[str]
    stage: str
    kernel_entered: bool


class JudgeDocument(TypedDict):
    """What each log shows."""

    verdicts: list[JudgedLogDocument]


class ConsoleDocument(TypedDict):
    """Where a console's log is."""

    console: str
    bytes: Count
    runs: bool


class ListedConsole(TypedDict):
    """One console of a run."""

    cell: str
    console: str
    bytes: Count
    runs: bool


class ConsolesDocument(TypedDict):
    """The consoles of a run of several cells."""

    consoles: list[ListedConsole]


class ListedRunDocument(TypedDict):
    """One entry of ``runs``."""

    name: str
    command: list[str]
    started: str
    state: str
    exit_code: int | None
    cells: Count
    as_expected: Count
    without_result: Count
    outcomes: dict[str, Count]


class RunsDocument(TypedDict):
    """The runs that have a record."""

    runs: list[ListedRunDocument]


class PsDocument(TypedDict):
    """The guests that run."""

    guests: list[KeptGuest]


class StopDocument(TypedDict):
    """The names of the guests that were ended."""

    ended: list[str]


class CacheEntryDocument(TypedDict):
    """Something of the cache."""

    kind: str
    path: str
    bytes: Count


class GcDocument(TypedDict):
    """What was removed from the cache."""

    removed: list[CacheEntryDocument]
    in_use: list[CacheEntryDocument]
    bytes_before: Count
    bytes_after: Count
    dry_run: bool


class ManDocument(TypedDict):
    """The manual page, in man(7)'s macros."""

    page: str


DOCUMENTS: dict[str, tuple[type, ...]] = {
    "doctor": (DoctorDocument,),
    "build": (BuildDocument,),
    "boot": (Record, DryRunDocument),
    "compare": (Record,),
    "mutants": (Record, MutantListDocument),
    "cases": (CasesDocument,),
    "bisect": (Record,),
    "model predict": (PredictDocument,),
    "model trace": (TraceDocument,),
    "model explore": (ExploreDocument,),
    "check": (Record,),
    "judge": (JudgeDocument,),
    "report": (Record,),
    "console": (ConsoleDocument, ConsolesDocument),
    "runs list": (RunsDocument,),
    "runs retry": (Record,),
    "ps": (PsDocument,),
    "stop": (StopDocument,),
    "gc": (GcDocument,),
    "man": (ManDocument,),
}
"""Each command, and what it may print."""

ERROR = ErrorDocument
"""What any of them prints when it fails."""
