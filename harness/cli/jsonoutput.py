"""The types of the documents that ``--json`` prints, by command.

The key ``schema`` is added to each. A command that boots guests prints its
``harness.results.schema.Record``. Documents may have more keys than these types.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec

from harness.cli.failure import ErrorDocument
from harness.cli.nightlyoutput import NIGHTLY_DOCUMENTS
from harness.guest.registry import KeptGuest
from harness.host.doctor import HostFinding
from harness.results.schema import Record, Wide

Count = Annotated[int, msgspec.Meta(ge=0)]


class DoctorDocument(TypedDict):
    """The abilities of this host."""

    possible: bool
    findings: list[HostFinding]
    repairs: list[str]


class BuildDocument(TypedDict):
    """A built kernel: its inputs and files."""

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


class ImageDocument(TypedDict):
    """An image of a world: its inputs and its file."""

    key: str
    source: str
    label: str
    commit: str | None
    tree: str
    dirty: bool
    overlaid: list[str]
    release: str
    kind: str
    suites: list[str]
    services: str
    compiler: str
    scripts: list[str]
    partition: str
    disk: str


class ImagesDocument(TypedDict):
    """``image ls``."""

    images: list[ImageDocument]


class RemovedImagesDocument(TypedDict):
    """``image rm``."""

    removed: list[str]


class SshDocument(TypedDict):
    """``ssh``: the command line of ssh(1), which is then not started."""

    command: list[str]


class DryRunDocument(TypedDict):
    """``boot --dry-run``: the command line or the domain XML."""

    guest: str


class ListedMutant(TypedDict):
    """An entry of ``mutants --list``."""

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
    """The expected result of a case's command."""

    release: str
    side: str
    outcome: str
    title: str
    agrees: bool | None


class ListedCase(TypedDict):
    """An entry of ``cases``."""

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
    """The prediction for one topology; a subsystem's model may add keys."""

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
    """An operation of a trace."""

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
    """All states of one small setup; a subsystem may add keys."""

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
    """A line of a log's backtrace."""

    function: str
    offset: Wide
    pc: Wide | None
    entry: str
    file: str
    line: int
    inlined: list[dict[str, Any]]


class JudgedLogDocument(TypedDict):
    """The verdict on one log."""

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
    """The verdicts on logs."""

    verdicts: list[JudgedLogDocument]


class ConsoleDocument(TypedDict):
    """The path of a console's log."""

    console: str
    bytes: Count
    runs: bool


class ListedConsole(TypedDict):
    """A console of a run."""

    cell: str
    console: str
    bytes: Count
    runs: bool


class ConsolesDocument(TypedDict):
    """The consoles of a run with several cells."""

    consoles: list[ListedConsole]


class ListedRunDocument(TypedDict):
    """An entry of ``runs``."""

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
    """The recorded runs."""

    runs: list[ListedRunDocument]


class GdbDocument(TypedDict):
    """What gdb printed about a guest or a memory dump."""

    target: str
    output: str


class PsDocument(TypedDict):
    """The running guests."""

    guests: list[KeptGuest]


class StopDocument(TypedDict):
    """The names of the stopped guests."""

    ended: list[str]


class CacheEntryDocument(TypedDict):
    """An entry of the cache."""

    kind: str
    path: str
    bytes: Count


class ConsolesRemovedDocument(TypedDict):
    """The consoles that a history no longer has."""

    history: str
    count: Count
    bytes: Count


class GcDocument(TypedDict):
    """The removed entries of the cache."""

    removed: list[CacheEntryDocument]
    consoles: list[ConsolesRemovedDocument]
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
    "image build": (ImageDocument,),
    "image import": (ImageDocument,),
    "image ls": (ImagesDocument,),
    "image rm": (RemovedImagesDocument,),
    "exec": (Record,),
    "kyua": (Record,),
    "ssh": (SshDocument,),
    "boot": (Record, DryRunDocument),
    "compare": (Record,),
    "mutants": (Record, MutantListDocument),
    "cases": (CasesDocument,),
    "bisect": (Record,),
    **NIGHTLY_DOCUMENTS,
    "model predict": (PredictDocument,),
    "model trace": (TraceDocument,),
    "model explore": (ExploreDocument,),
    "check": (Record,),
    "judge": (JudgeDocument,),
    "report": (Record,),
    "console": (ConsoleDocument, ConsolesDocument),
    "gdb": (GdbDocument,),
    "runs list": (RunsDocument,),
    "runs retry": (Record,),
    "ps": (PsDocument,),
    "stop": (StopDocument,),
    "gc": (GcDocument,),
    "man": (ManDocument,),
}
"""The documents of each command."""

ERROR = ErrorDocument
"""The document that a failed command prints."""
