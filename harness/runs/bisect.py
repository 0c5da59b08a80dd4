"""Finds the revision that broke or fixed a kernel, and records the result."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bisect.evidence import Kind, Mark, RevisionTest
from harness.bisect.findings import Findings, findings_of, marked
from harness.bisect.gitlog import LogEntry, read_log, write_log
from harness.bisect.history import History, describe, with_side_revision
from harness.bisect.knowledge import Asked
from harness.bisect.proof import Proof, prove
from harness.bisect.run import Bisection
from harness.bisect.search import Culprit, Decision, Question, Several
from harness.bisect.state import State, StateFile
from harness.errors import UsageError
from harness.host.processid import ProcessId
from harness.host.workspace import make_directory, note_holder, write_atomic, write_named
from harness.outcome import Until
from harness.results.bisect import bisect_lines, to_bisect_document
from harness.results.store import Store, kept_cells
from harness.results.unfinished import Planned, beginning
from harness.runs.bisecttests import RevisionTests, Testing
from harness.runs.ends import Ends, found_ends
from harness.runs.examination import FAULT_TITLES
from harness.runs.guests import Guests
from harness.runs.recording import Recorder
from harness.runs.view import Unseen, View
from harness.source.synthetic import revert

if TYPE_CHECKING:
    from harness.provide.provider import Provider
    from harness.runs.bisectrequest import BisectRequest
    from harness.runs.environment import Environment
    from harness.source.tree import SourceTree


@dataclass(frozen=True, slots=True)
class BisectResult:
    """Result of a bisection.

    Args:
        findings: the answer, with its proof.
        document: the record.
        directory: its directory.
    """

    findings: Findings
    document: Mapping[str, Any]
    directory: Path

    @property
    def exit_code(self) -> int:
        """See ``Findings``."""
        return self.findings.exit_code


def bisect(request: BisectRequest, env: Environment, view: View | None = None) -> BisectResult:
    """Search, prove, write the record; resume an interrupted bisection.

    Raises:
        UsageError: the request is invalid.
        BuildError: an end does not build.
        InfraError: the host failed several times in a row.
    """
    request.check()
    return _Bisect(request, env, view or Unseen()).run()


class _Bisect:
    """One bisection."""

    def __init__(self, request: BisectRequest, env: Environment, view: View) -> None:
        self._request, self._env, self._view = request, env, view
        self._store: Store = Recorder(env, view).store
        asked = request.guest
        if request.program is not None:
            asked = replace(asked, until=Until.SSH)
        self._guests = Guests.of(env, view, asked, request.what)
        self._sanitizers = self._guests.sanitizers(request.sanitizers)
        self._provider: Provider = env.kernels(view.note).provider(request.what)

    def run(self) -> BisectResult:
        request, env = self._request, self._env
        entries = self._imported()
        what = request.what
        tree = self._provider.history(what)
        ends = found_ends(request, tree, entries)
        tests = RevisionTests(request, env, self._guests, self._sanitizers)
        revisions = tests.revisions(self._provider, ends)
        testing = tests.testing(ends, revisions)
        if testing.question.merge_bases:
            names = " and ".join(base[:12] for base in testing.question.merge_bases)
            self._view.note(
                f"the ends are on two branches, so their merge base is tested first: {names}"
            )
        file = StateFile(env.workspace, self._asked(ends, testing))
        waiting = note_holder(self._view.note, "runs the same bisection")
        with env.workspace.lock(f"bisect-{file.key}", waiting):
            state = self._begin(file, tree, entries)
            begun = self._record(state)
            with self._view.bisection(_subjects(ends.history)) as show:
                bisection = Bisection(
                    self._looked_for(ends, testing.question),
                    ends.history,
                    revisions.relevance,
                    testing.tester(self._store.directory / state.run),
                    file,
                    state,
                    show,
                    testing.ahead,
                    testing.at_once,
                )
                findings = self._search(bisection, tree)
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

    def _looked_for(self, ends: Ends, question: Question) -> Asked:
        request = self._request
        return Asked(
            question,
            request.title,
            request.any_failure,
            # With a wrong allocator, some kernels panic, and only the check catches others.
            FAULT_TITLES if request.how == "check" else frozenset(),
            ends.skipped,
            request.how,
            request.first_parent,
        )

    def _asked(self, ends: Ends, testing: Testing) -> Mapping[str, Any]:
        """Return what must be equal to resume an interrupted bisection."""
        request = self._request
        named = {"subsystem": request.subsystem, "first_parent": request.first_parent}
        return {
            "source": str(ends.tree.home),
            "new": ends.new,
            "old": ends.old,
            "fixed": request.fixed,
            "kernconf": request.what.kernconf,
            "sanitizer": str(self._sanitizers),
            "options": str(request.what.options),
            "title": request.title,
            "with": request.how,
            **testing.asked,
            **{name: value for name, value in named.items() if value},
        }

    def _begin(self, file: StateFile, tree: SourceTree, entries: Sequence[LogEntry]) -> State:
        """Return the state of an interrupted bisection, or a new one."""
        if self._request.restart:
            file.forget()
        state = file.load()
        retry = self._env.retry
        if retry is not None and state.run != retry.run:
            self._view.note(f"no state of {retry.run} is left to resume, so it starts over")
        if state.run and (self._store.directory / state.run).is_dir():
            count = len(state.observations)
            self._view.note(f"resuming {state.run} after {count} tests; --restart starts over")
            self._store.save_document(self._record(state))
            return state
        if not state.run:
            state = replace(state, observations=tuple(_given(tree, entries)))
        moment = self._env.clock.now()
        directory = self._store.create("bisect", moment)
        state = replace(state, run=directory.name, started=moment.isoformat())
        self._store.save_document(self._record(state))
        file.save(state)
        return state

    def _record(self, state: State) -> Mapping[str, Any]:
        """Return the record of a bisection without an answer yet."""
        owner = ProcessId.of(os.getpid())
        planned = Planned(self._request.what.source)
        return beginning(state.run, self._env.command, state.started, planned, owner)

    # Meanwhile

    def _search(self, bisection: Bisection, tree: SourceTree) -> Findings:
        try:
            answer = self._answer(bisection)
            culprits = [describe(tree.repository, name) for name in _named(answer)]
            proof = self._prove(bisection, tree, answer)
        except BaseException:
            self._view.note("the state is saved: the same command resumes the bisection")
            bisection.stop()
            raise
        finally:
            self._export(bisection)
        bisection.close()
        return findings_of(bisection, answer, culprits, proof)

    def _answer(self, bisection: Bisection) -> Decision:
        """Return the search's answer; for builds without one, the answer if every error counts.

        A revision that fails with another error than the end's gives no verdict, unless one error
        hides the other, or an error's text changed in between.
        """
        answer = bisection.run()
        asked = bisection.asked
        if not asked.question.certain or isinstance(answer, Culprit) or asked.title is not None:
            return answer
        if not any(tally.other for tally in bisection.known().seen.values()):
            return answer
        self._view.note("this error alone identifies no revision, so every error counts now")
        bisection.asked = replace(asked, any_failure=True)
        return bisection.run()

    def _prove(self, bisection: Bisection, tree: SourceTree, answer: Decision) -> Proof | None:
        if not isinstance(answer, Culprit):
            return None
        new = bisection.asked.question.new
        undone = revert(tree.repository, answer.commit, new)
        conflict = "" if undone else "reverting it conflicts with later changes"
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

    # After

    def _compiled(self) -> str:
        """Return what was compiled, if no guest's cell has it."""
        if self._request.how != "build":
            return ""
        what = self._request.what
        words = (what.source, str(self._sanitizers), str(what.options), what.kernconf)
        return ", ".join(word for word in words if word)

    def _kept(self, findings: Findings, begun: Mapping[str, Any]) -> BisectResult:
        """Write the record and its reports.

        Raises:
            InfraError: they cannot be written.
        """
        directory = self._store.directory / str(begun["name"])
        document = {
            **begun,
            "owner": None,
            "exit_code": findings.exit_code,
            "state": "ended",
            "cells": kept_cells(directory),
            "bisect": {**to_bisect_document(findings), "kernel": self._compiled()},
            "unwritten": [],
        }
        make_directory(directory)
        lines = bisect_lines(document)
        write_atomic(directory / "report.txt", "".join(f"{line}\n" for line in lines))
        self._store.save_document(document)
        return BisectResult(findings, document, directory)


def _named(answer: Decision) -> Sequence[str]:
    match answer:
        case Culprit(commit):
            return [commit]
        case Several(commits):
            return commits
        case _:
            return []


def _given(tree: SourceTree, entries: Sequence[LogEntry]) -> list[RevisionTest]:
    """Return a log's verdicts as tests; skipped revisions are not tested again."""
    kinds = {Mark.GOOD: Kind.PASSED, Mark.BAD: Kind.FAILED, Mark.SKIP: Kind.UNBUILDABLE}
    return [
        RevisionTest(
            tree.repository.commit(entry.revision), kinds[entry.mark], outcome="by the log"
        )
        for entry in entries
    ]


def _subjects(history: History) -> dict[str, str]:
    return {revision.name: revision.subject for revision in history.revisions}
