"""Which revision broke or fixed a kernel: sets the search up, carries it out, keeps the record."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bisect.evidence import Kind, Mark, Observation
from harness.bisect.findings import Findings, findings_of, marked
from harness.bisect.gitlog import LogEntry, read_log, write_log
from harness.bisect.history import History, describe, with_side_revision
from harness.bisect.proof import Proof, prove
from harness.bisect.run import Asked, Bisection
from harness.bisect.search import Culprit, Decision, Several
from harness.bisect.state import State, StateFile
from harness.check.checker import CheckPlan
from harness.errors import UsageError
from harness.guest.memory import available_memory, required_memory
from harness.guest.registry import Registry
from harness.host.doctor import find_program
from harness.host.processid import ProcessId
from harness.host.workspace import make_folder, write_atomic, write_named
from harness.image.media import BootMethod
from harness.provide.revisions import Revisions, revisions_of
from harness.results.bisect import bisect_lines, to_bisect_document
from harness.results.html import bisect_html
from harness.results.store import Store, kept_cells
from harness.results.unfinished import Planned, beginning
from harness.runs.ends import Ends, found_ends
from harness.runs.examination import (
    DIFFERS,
    BootExamination,
    CommandExamination,
    Examination,
)
from harness.runs.guests import GuestRequest, Guests
from harness.runs.kerneltester import KernelTester
from harness.runs.recording import Recorder
from harness.runs.view import Unseen, View
from harness.source.graft import revert
from harness.subsystems.uma.subsystem import UMA

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers
    from harness.source.tree import SourceTree
    from harness.source.what import What

#: Operations of each check.
_OPERATIONS = 1000

#: Kernels that are built while a guest boots. With few processors both would only be slower.
_AHEAD = 2 if (os.cpu_count() or 1) > 4 else 1


@dataclass(frozen=True, slots=True)
class BisectRequest:
    """A revision to find.

    Args:
        what: the source and configuration; it names no revision.
        good: a revision that passes; None: as the log has it.
        bad: a revision that fails; None: as the log has it.
        fixed: the bad one is older: find what fixed it.
        guest: the guest, which is one.
        sanitizers: of the kernels; None: those of the guest's file.
        title: only failures whose title holds that count.
        any_failure: every failure counts.
        how: what is looked at: ``boot`` or ``check``.
        confidence: percent, to be reached.
        repeat: the most tests of one kernel.
        restart: forget what an interrupted call has found.
        log: a file to begin with, as ``git bisect log`` prints it.
        export: a file for ``git bisect replay``, written at the end.
        command: judges each kept guest; empty without.
    """

    what: What
    good: str | None = None
    bad: str | None = None
    fixed: bool = False
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    title: str | None = None
    any_failure: bool = False
    how: str = "boot"
    confidence: float = 95.0
    repeat: int = 40
    restart: bool = False
    log: Path | None = None
    export: Path | None = None
    command: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            UsageError: two options exclude each other.
        """
        if self.title is not None and self.any_failure:
            raise UsageError(
                "--title and --any-failure exclude each other", remedy="leave one of them out"
            )
        if self.command and self.how != "boot":
            raise UsageError(
                f"--with {self.how} and a command both judge the revisions",
                remedy="leave one of them out",
            )
        if self.command and find_program(self.command[0]) is None:
            found = Path(self.command[0]).exists()
            raise UsageError(
                f"the command {self.command[0]} "
                + ("cannot be executed" if found else "was not found"),
                remedy="make it executable (chmod +x)" if found else "correct its path",
            )


@dataclass(frozen=True, slots=True)
class BisectResult:
    """What a bisection came to.

    Args:
        findings: the answer, with its proof.
        document: the record.
        folder: its directory.
    """

    findings: Findings
    document: Mapping[str, Any]
    folder: Path

    @property
    def exit_code(self) -> int:
        """See ``Findings``."""
        return self.findings.exit_code


def bisect(request: BisectRequest, env: Environment, view: View | None = None) -> BisectResult:
    """Search, prove, keep the record; goes on where an interrupted call was.

    Raises:
        UsageError: what the request names is at fault.
        BuildError: an end does not build.
        InfraError: the host fails again and again.
    """
    request.check()
    return _Bisect(request, env, view or Unseen()).run()


class _Bisect:
    """One bisection."""

    def __init__(self, request: BisectRequest, env: Environment, view: View) -> None:
        self._request, self._env, self._view = request, env, view
        self._store: Store = Recorder(env, view).store
        self._guests = Guests.of(env, view, request.guest, request.what, BootMethod.DIRECT)

    def run(self) -> BisectResult:
        request, env = self._request, self._env
        entries = self._imported()
        ends = found_ends(env, request.what, request.good, request.bad, entries,
                          fixed=request.fixed, confidence=request.confidence / 100,
                          repeat=request.repeat)  # fmt: skip
        sanitizers, plan = self._guest()
        revisions = self._revisions(ends, sanitizers)
        file = StateFile(env.workspace, self._asked(ends, sanitizers, plan))
        with env.workspace.lock(f"bisect-{file.key}", self._waiting):
            state = self._begin(file, ends.tree, entries)
            begun = self._record(state)
            folder = self._store.folder / state.run
            check = self._check_plan(ends, revisions, plan)
            boot = BootExamination(self._guests.booter(), plan, request.what, sanitizers, check)
            tester = KernelTester(
                revisions, self._examination(boot), boot.booter, folder, env.clock
            )
            # Of a wrong allocator some kernels die, and others are only caught by the check.
            also = frozenset({DIFFERS} if request.how == "check" else ())
            asked = Asked(ends.question, request.title, request.any_failure, also)
            with self._view.bisection(_subjects(ends.history)) as show:
                bisection = Bisection(
                    asked,
                    ends.history,
                    revisions.relevance,
                    tester,
                    file,
                    state,
                    show,
                    _AHEAD,
                    self._at_once(plan),
                )
                findings = self._search(bisection, ends.tree)
            result = self._kept(findings, begun)
            file.forget()
        return result

    # Before

    def _imported(self) -> list[LogEntry]:
        path = self._request.log
        if path is None:
            return []
        try:
            text = path.read_text("utf-8", "replace")
        except OSError as error:
            raise UsageError(
                f"cannot read the log {path}: {error.strerror}", remedy="correct --import"
            ) from error
        return read_log(text, fixed=self._request.fixed)

    def _guest(self) -> tuple[Sanitizers, BootPlan]:
        sanitizers = self._guests.sanitizers(self._request.sanitizers)
        topology = self._guests.topology(sanitizers, "bisect")
        keep = bool(self._request.command)
        return sanitizers, self._guests.plan(topology, sanitizers, keep=keep, goes_on=True)

    def _at_once(self, plan: BootPlan) -> int:
        """How many guests may run at once; a command of the user's is not asked for that."""
        if self._request.command:
            return 1
        fitting = available_memory() // required_memory(plan.topology)
        return max(1, min(self._guests.most_at_once, fitting))

    def _revisions(self, ends: Ends, sanitizers: Sanitizers) -> Revisions:
        question, request = ends.question, self._request
        return revisions_of(
            self._env.kernels(self._view.note), ends.tree, request.what, sanitizers,
            (question.new, *question.old),
            modules=(UMA.name,) if request.how == "check" else (),
        )  # fmt: skip

    def _check_plan(self, ends: Ends, revisions: Revisions, plan: BootPlan) -> CheckPlan | None:
        """A check of every revision against one specification: that of an end that passes."""
        if self._request.how != "check":
            return None
        question = ends.question
        good = question.new if question.fixed else question.old[0]
        held = revisions.specification(UMA, good)
        return CheckPlan(held, _OPERATIONS, 1, slowness=plan.slowness)

    def _examination(self, boot: BootExamination) -> Examination:
        command = self._request.command
        if not command:
            return boot
        env = self._env
        registry = Registry(env.workspace, env.clock)
        return CommandExamination(boot, command, os.environ, registry, env.runner, env.clock)

    def _asked(self, ends: Ends, sanitizers: Sanitizers, plan: BootPlan) -> Mapping[str, Any]:
        """All that an interrupted call must have in common with this one."""
        request, question = self._request, ends.question
        return {
            "source": str(ends.tree.home),
            "new": question.new,
            "old": question.old,
            "fixed": question.fixed,
            "kernconf": request.what.kernconf,
            "sanitizer": str(sanitizers),
            "options": str(request.what.options),
            "topology": asdict(plan.topology),
            "until": plan.until.value,
            "boot": plan.method.value,
            "tunables": dict(plan.tunables),
            "title": request.title,
            "any_failure": request.any_failure,
            "with": request.how,
            "command": request.command,
        }

    def _begin(self, file: StateFile, tree: SourceTree, entries: Sequence[LogEntry]) -> State:
        """The state of an interrupted call, or a new one."""
        if self._request.restart:
            file.forget()
        state = file.load()
        retry = self._env.retry
        if retry is not None and state.run != retry.run:
            self._view.note(f"nothing of {retry.run} is left to go on from, so this begins anew")
        if state.run and (self._store.folder / state.run).is_dir():
            count = len(state.observations)
            self._view.note(
                f"going on with {state.run}, after {count} tests; --restart begins anew"
            )
            self._store.save_document(self._record(state))
            return state
        if not state.run:
            state = replace(state, observations=tuple(_given(tree, entries)))
        moment = self._env.clock.now()
        folder = self._store.create("bisect", moment)
        state = replace(state, run=folder.name, started=moment.isoformat())
        self._store.save_document(self._record(state))
        file.save(state)
        return state

    def _record(self, state: State) -> Mapping[str, Any]:
        """The record as long as there is no answer."""
        owner = ProcessId.of(os.getpid())
        planned = Planned(self._request.what.source)
        return beginning(state.run, self._env.command, state.started, planned, owner)

    # Meanwhile

    def _search(self, bisection: Bisection, tree: SourceTree) -> Findings:
        try:
            answer = bisection.run()
            culprits = [describe(tree.repository, name) for name in _named(answer)]
            proof = self._prove(bisection, tree, answer)
        except BaseException:
            self._view.note("what was found is kept: the same command goes on from there")
            bisection.stop()
            raise
        finally:
            self._export(bisection)
        bisection.close()
        return findings_of(bisection, answer, culprits, proof)

    def _prove(self, bisection: Bisection, tree: SourceTree, answer: Decision) -> Proof | None:
        if not isinstance(answer, Culprit):
            return None
        new = bisection.asked.question.new
        undone = revert(tree.repository, answer.commit, new)
        conflict = "" if undone else "taking it back conflicts with later changes"
        if undone:
            bisection.history = with_side_revision(
                bisection.history, tree.repository, undone, new, f"{new[:12]} without the culprit"
            )
        return prove(bisection, answer, undone, conflict)

    def _export(self, bisection: Bisection) -> None:
        if self._request.export is None:
            return
        known = bisection.known()
        side = bisection.history.old_side - set(bisection.asked.question.old)
        entries = [
            LogEntry(mark, one.commit)
            for one, mark in marked(bisection.state.observations, known.target)
            if one.commit in known.graph.contents and one.commit not in side
        ]
        fixed = bisection.asked.question.fixed
        text = write_log(dict.fromkeys(entries), _subjects(bisection.history), fixed=fixed)
        write_named(self._request.export, text)

    def _waiting(self, holder: str) -> None:
        self._view.note(f"waiting for process {holder}, which does the same bisection")

    # After

    def _kept(self, findings: Findings, begun: Mapping[str, Any]) -> BisectResult:
        """Write the record and its reports.

        Raises:
            InfraError: they cannot be written.
        """
        folder = self._store.folder / str(begun["name"])
        document = {
            **begun,
            "owner": None,
            "exit_code": findings.exit_code,
            "state": "ended",
            "cells": kept_cells(folder),
            "bisect": to_bisect_document(findings),
            "unwritten": [],
        }
        make_folder(folder)
        lines = bisect_lines(document)
        write_atomic(folder / "report.txt", "".join(f"{line}\n" for line in lines))
        write_atomic(folder / "report.html", bisect_html(document, folder))
        self._store.save_document(document)
        return BisectResult(findings, document, folder)


def _named(answer: Decision) -> Sequence[str]:
    match answer:
        case Culprit(commit):
            return [commit]
        case Several(commits):
            return commits
        case _:
            return []


def _given(tree: SourceTree, entries: Sequence[LogEntry]) -> list[Observation]:
    """A log's verdicts, each as one test; what somebody skipped is not tried again."""
    kinds = {Mark.GOOD: Kind.PASSED, Mark.BAD: Kind.FAILED, Mark.SKIP: Kind.UNBUILDABLE}
    return [
        Observation(tree.repository.commit(entry.revision), kinds[entry.mark], outcome="by the log")
        for entry in entries
    ]


def _subjects(history: History) -> dict[str, str]:
    return {revision.name: revision.subject for revision in history.revisions}
