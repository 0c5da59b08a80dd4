"""What ``harness bisect`` does: set the search up, carry it out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bisect.evidence import Kind, Mark, Observation
from harness.bisect.findings import Findings, findings_of, marked
from harness.bisect.gitlog import LogEntry, read_log, write_log
from harness.bisect.history import (
    History,
    bases_of,
    describe,
    read_history,
    with_side_revision,
)
from harness.bisect.proof import Proof, prove
from harness.bisect.run import Asked, Bisection
from harness.bisect.search import Culprit, Decision, Question, Several
from harness.bisect.state import State, StateFile
from harness.check.checker import CheckPlan
from harness.cli.bisectreport import tell
from harness.cli.bisectview import BisectView
from harness.cli.session import GuestOptions, Session, most_guests
from harness.errors import UsageError, given_with
from harness.guest.memory import available_memory, required_memory
from harness.guest.registry import Registry
from harness.host.doctor import find_program
from harness.host.processid import ProcessId
from harness.host.workspace import write_named
from harness.provide.revisions import Revisions, revisions_of
from harness.results.store import Store
from harness.results.unfinished import Planned, beginning
from harness.runs.bisect import KernelTester
from harness.runs.examination import (
    DIFFERS,
    BootExamination,
    CommandExamination,
    Examination,
)
from harness.source.graft import revert
from harness.subsystems.uma.subsystem import UMA

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.cli.app import App
    from harness.cli.sanitizers import AskedSanitizers
    from harness.sanitizers import Sanitizers
    from harness.source.git import Repository
    from harness.source.tree import SourceTree
    from harness.source.what import What

#: Operations of each check.
_OPERATIONS = 1000

#: Kernels that are built while a guest boots. With few processors both would only be slower.
_AHEAD = 2 if (os.cpu_count() or 1) > 4 else 1


@dataclass(frozen=True, slots=True)
class Options:
    """The values of all options but the common ones; see their help and ``GuestOptions``."""

    source: str | None
    kernconf: str | None
    good: str | None
    bad: str | None
    fixed: bool
    asked: AskedSanitizers
    numa: str | None
    guest: GuestOptions
    title: str | None
    any_failure: bool
    how: str
    confidence: float
    repeat: int
    restart: bool
    import_: Path | None
    export: Path | None
    command: tuple[str, ...]

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
class _Place:
    """Where it is looked for: the tree, its history, and the two ends by their hashes."""

    tree: SourceTree
    question: Question
    history: History


class Bisect:
    """One call of ``harness bisect``."""

    def __init__(self, app: App, options: Options) -> None:
        self._app = app
        self._options = options
        self._session = Session(app, options.guest, keep=bool(options.command))
        self._source = app.source(options.source)
        self._store = Store(app.runs)

    def run(self) -> int:
        """Search, prove, report; gives the exit code."""
        options = self._options
        options.check()
        entries = self._imported()
        what = self._session.what(options.source, options.kernconf)
        tree = self._tree(what)
        place = self._place(tree, entries)
        sanitizers, plan = self._guest()
        revisions = self._revisions(place, what, sanitizers)
        file = StateFile(self._app.workspace, self._asked(place, what, sanitizers, plan))
        with self._app.workspace.lock(f"bisect-{file.key}", self._waiting):
            state = self._begin(file, tree, entries)
            begun = self._record(state)
            folder = self._store.folder / state.run
            check = self._check_plan(place, revisions, plan)
            boot = BootExamination(self._session.booter(), plan, what, sanitizers, check)
            tester = KernelTester(
                revisions, self._examination(boot), boot.booter, folder, self._app.clock
            )
            # Of a wrong allocator some kernels die, and others are only caught by the check.
            also = frozenset({DIFFERS} if options.how == "check" else ())
            asked = Asked(place.question, options.title, options.any_failure, also)
            with BisectView(self._app.talk, self._app.clock, _subjects(place.history)) as view:
                bisection = Bisection(
                    asked,
                    place.history,
                    revisions.relevance,
                    tester,
                    file,
                    state,
                    view,
                    _AHEAD,
                    self._guests(plan),
                )
                findings = self._search(bisection, tree)
            code = tell(self._app, findings, self._store, begun)
            file.forget()
        return code

    # Before

    def _imported(self) -> list[LogEntry]:
        path = self._options.import_
        if path is None:
            return []
        try:
            text = path.read_text("utf-8", "replace")
        except OSError as error:
            raise UsageError(
                f"cannot read the log {path}: {error.strerror}", remedy="correct --import"
            ) from error
        return read_log(text, fixed=self._options.fixed)

    def _tree(self, what: What) -> SourceTree:
        return self._app.kernels().provider(what).history(what)

    def _place(self, tree: SourceTree, entries: Sequence[LogEntry]) -> _Place:
        options, repository = self._options, tree.repository
        good, bad = (
            self._commit(repository, mark, self._end(mark, given, entries))
            for mark, given in ((Mark.GOOD, options.good), (Mark.BAD, options.bad))
        )
        new, old = (good, bad) if options.fixed else (bad, good)
        if new == old:
            raise UsageError(
                f"--good and --bad are the same revision, {new[:12]}",
                remedy="name two revisions with --good and --bad",
            )
        if repository.git("merge-base", "--is-ancestor", new, old, check=False).returncode == 0:
            wish = "leave --fixed out" if options.fixed else "add --fixed to find what fixed it"
            raise UsageError(
                f"the {'good' if options.fixed else 'bad'} revision {new[:12]} is an ancestor of "
                f"the other, {old[:12]}",
                remedy=f"{wish}, or exchange --good and --bad",
            )
        bases = [base for base in bases_of(repository, new, old) if base != old]
        history = read_history(repository, new, (old, *bases))
        question = Question(
            new, (old, *bases), options.fixed, options.confidence / 100, options.repeat
        )
        return _Place(tree, question, history)

    def _commit(self, repository: Repository, mark: Mark, revision: str) -> str:
        with given_with(f"--{mark}"):
            return repository.commit(revision)

    def _end(self, mark: Mark, given: str | None, entries: Sequence[LogEntry]) -> str:
        """The end that was named, or the log's: the first bad one is where it began."""
        named = given or next((one.revision for one in entries if one.mark is mark), None)
        if named is None:
            raise UsageError(
                f"--{mark} is missing: a bisection needs a revision that passes and one that fails",
                remedy="name both ends with --good and --bad",
            )
        return named

    def _guest(self) -> tuple[Sanitizers, BootPlan]:
        options, session = self._options, self._session
        sanitizers = options.asked.of_kernel(session.vmconfig())
        topologies = session.topologies(options.numa, sanitizers)
        if len(topologies) != 1:
            raise UsageError(
                f"--numa {options.numa} names several guests, and a bisection boots one",
                remedy="name one number with --numa",
            )
        plan = session.plan(topologies[0], sanitizers)
        return sanitizers, replace(plan, tunables={**sanitizers.goes_on, **plan.tunables})

    def _guests(self, plan: BootPlan) -> int:
        """How many guests may run at once; a command of the user's is not asked for that."""
        if self._options.command:
            return 1
        fitting = available_memory() // required_memory(plan.topology)
        return max(1, min(most_guests(), fitting))

    def _revisions(self, place: _Place, what: What, sanitizers: Sanitizers) -> Revisions:
        question = place.question
        return revisions_of(
            self._app.kernels(), place.tree, what, sanitizers, (question.new, *question.old),
            module=self._options.how == "check",
        )  # fmt: skip

    def _check_plan(self, place: _Place, revisions: Revisions, plan: BootPlan) -> CheckPlan | None:
        """A check of every revision against one specification: that of an end that passes."""
        if self._options.how != "check":
            return None
        question = place.question
        good = question.new if question.fixed else question.old[0]
        held = revisions.specification(UMA, good)
        return CheckPlan(held, _OPERATIONS, 1, slowness=plan.slowness)

    def _examination(self, boot: BootExamination) -> Examination:
        command = self._options.command
        if not command:
            return boot
        app = self._app
        registry = Registry(app.workspace, app.clock)
        return CommandExamination(boot, command, os.environ, registry, app.runner, app.clock)

    def _asked(
        self, place: _Place, what: What, sanitizers: Sanitizers, plan: BootPlan
    ) -> Mapping[str, Any]:
        """All that an interrupted call must have in common with this one."""
        options, question = self._options, place.question
        return {
            "source": str(place.tree.home),
            "new": question.new,
            "old": question.old,
            "fixed": question.fixed,
            "kernconf": what.kernconf,
            "sanitizer": str(sanitizers),
            "topology": asdict(plan.topology),
            "until": plan.until.value,
            "boot": plan.method.value,
            "tunables": dict(plan.tunables),
            "title": options.title,
            "any_failure": options.any_failure,
            "with": options.how,
            "command": options.command,
        }

    def _begin(self, file: StateFile, tree: SourceTree, entries: Sequence[LogEntry]) -> State:
        """The state of an interrupted call, or a new one."""
        if self._options.restart:
            file.forget()
        state = file.load()
        retry = self._app.retry
        if retry is not None and state.run != retry.run:
            self._say(f"nothing of {retry.run} is left to go on from, so this begins anew")
        if state.run and (self._store.folder / state.run).is_dir():
            count = len(state.observations)
            self._say(f"going on with {state.run}, after {count} tests; --restart begins anew")
            self._store.save_document(self._record(state))
            return state
        if not state.run:
            state = replace(state, observations=tuple(_given(tree, entries)))
        moment = self._app.clock.now()
        folder = self._store.create("bisect", moment)
        state = replace(state, run=folder.name, started=moment.isoformat())
        self._store.save_document(self._record(state))
        file.save(state)
        return state

    def _record(self, state: State) -> Mapping[str, Any]:
        """The record as long as there is no answer."""
        owner = ProcessId.of(os.getpid())
        planned = Planned(self._source)
        return beginning(state.run, self._app.command, state.started, planned, owner)

    # Meanwhile

    def _search(self, bisection: Bisection, tree: SourceTree) -> Findings:
        try:
            answer = bisection.run()
            culprits = [describe(tree.repository, name) for name in _named(answer)]
            proof = self._prove(bisection, tree, answer)
        except BaseException:
            self._say("what was found is kept: the same command goes on from there")
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
        if self._options.export is None:
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
        write_named(self._options.export, text)

    def _say(self, line: str) -> None:
        self._app.talk.say(line)

    def _waiting(self, holder: str) -> None:
        self._say(f"waiting for process {holder}, which does the same bisection")


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
