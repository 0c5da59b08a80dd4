"""The types of the documents that ``harness nightly … --json`` prints; see ``jsonoutput``."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]


class NightlyFileDocument(TypedDict):
    """``nightly init``: the written plan."""

    plan: str


class NightlySchemaDocument(TypedDict):
    """``nightly schema``: the JSON schema of plans."""

    plan: dict[str, Any]


class PlannedRevisionDocument(TypedDict):
    """A revision that a night would test."""

    branch: str
    commit: str
    rank: Count
    subject: str
    cells: Count
    seconds: float
    why: str


class NightlyPlanDocument(TypedDict):
    """``nightly plan``, and ``nightly run --dry-run``."""

    plan: str
    branches: list[dict[str, Any]]
    controls: Count
    notes: list[str]
    cells: list[dict[str, Any]]
    revisions: list[PlannedRevisionDocument]


class NewsDocument(TypedDict):
    """Something that is told once."""

    kind: str
    key: str
    text: str
    problem: str
    slot: dict[str, str] | None
    commit: str


class NightProblemDocument(TypedDict):
    """A problem as a night judged it; see ``harness.nightly.night.Problem``."""

    id: str
    title: str
    kind: str
    classification: str
    open: bool
    rate: dict[str, float]
    slots: list[dict[str, str]]
    culprit: dict[str, Any] | None
    fixed_by: dict[str, Any] | None
    known_issue: str
    why: str


class NightDocument(TypedDict):
    """``nightly run`` and ``nightly show``."""

    plan: str
    number: Count
    state: str
    started: str
    ended: str | None
    exit_code: int | None
    compared_with: int | None
    sentence: str
    notes: list[str]
    branches: list[dict[str, Any]]
    revisions: list[dict[str, Any]]
    news: list[NewsDocument]
    problems: list[NightProblemDocument]
    results: list[dict[str, Any]]


class SeenHostDocument(TypedDict):
    """A host of a group; ``silent`` in seconds, ``memory`` in bytes."""

    name: str
    cores: float
    memory: Count
    silent: float
    running: Count
    state: str


class NightlyStatusDocument(TypedDict):
    """``nightly status``."""

    late: bool
    text: str
    number: Count
    hosts: list[SeenHostDocument]


class NightCountDocument(TypedDict):
    """An entry of ``nightly trend``."""

    number: Count
    started: str
    state: str
    exit_code: int | None
    spent: float
    ran: Count
    failed: Count
    host_failed: Count
    not_run: Count


class NightlyTrendDocument(TypedDict):
    """``nightly trend``."""

    nights: list[NightCountDocument]


class NightlyExportDocument(TypedDict):
    """``nightly export``: the written files."""

    kcidb: str
    junit: str
    night: Count


class NightlyPagesDocument(TypedDict):
    """``nightly pages``: the first page."""

    index: str


class NightlyIssuesDocument(TypedDict):
    """``nightly issues``."""

    issues: list[dict[str, Any]]
    problems: list[dict[str, Any]]


class NightlyTellDocument(TypedDict):
    """``nightly tell``: recipients."""

    sent: list[str]
    delayed: list[str]
    uncertain: list[str]


class NightlyMessagesDocument(TypedDict):
    """``nightly tell --dry-run``: the messages of a night."""

    night: int
    messages: list[dict[str, str]]


class ChangedIssuesDocument(TypedDict):
    """``nightly issues merge`` and ``nightly issues split``."""

    problem: str
    issues: list[str]
    file: str


class AddedIssueDocument(TypedDict):
    """``nightly issues add`` and ``nightly issues mute``."""

    issue: str
    file: str


class GroupRoleDocument(TypedDict):
    """A role of a group."""

    name: str
    url: str
    new: bool


class GroupInitDocument(TypedDict):
    """``group init``: the roles, each with its URL of the history."""

    roles: list[GroupRoleDocument]


class CopiedPlanDocument(TypedDict):
    """A plan of an imported history."""

    name: str
    nights: Count
    copied: bool


class GroupImportDocument(TypedDict):
    """``group import``: the plans of the file."""

    history: str
    plans: list[CopiedPlanDocument]


class WorkerDocument(TypedDict):
    """``worker``: the host that has left the group."""

    host: str
    history: str


NIGHTLY_DOCUMENTS: dict[str, tuple[type, ...]] = {
    "nightly init": (NightlyFileDocument,),
    "nightly schema": (NightlySchemaDocument,),
    "nightly plan": (NightlyPlanDocument,),
    "nightly run": (NightDocument, NightlyPlanDocument),
    "nightly status": (NightlyStatusDocument,),
    "nightly show": (NightDocument,),
    "nightly trend": (NightlyTrendDocument,),
    "nightly export": (NightlyExportDocument,),
    "nightly tell": (NightlyTellDocument, NightlyMessagesDocument),
    "nightly pages": (NightlyPagesDocument,),
    "nightly issues list": (NightlyIssuesDocument,),
    "nightly issues add": (AddedIssueDocument,),
    "nightly issues mute": (AddedIssueDocument,),
    "nightly issues merge": (ChangedIssuesDocument,),
    "nightly issues split": (ChangedIssuesDocument,),
    "group init": (GroupInitDocument,),
    "group import": (GroupImportDocument,),
    "worker": (WorkerDocument,),
}
"""The documents of each command."""
