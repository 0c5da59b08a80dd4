"""Builds and tests revisions for a bisection: real kernels, real guests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from harness.bisect.evidence import Kind
from harness.bisect.history import FREEBSD, Relevance
from harness.bisect.tester import Built, Trial
from harness.check.checker import Checker, CheckPlan
from harness.check.result import Conclusion
from harness.errors import BuildError, HarnessError, UsageError
from harness.host.workspace import Workspace, make_folder, write_atomic
from harness.image.embedded import (
    SHARED,
    SOURCE_SUFFIXES,
    EmbeddedBuild,
    Variant,
    build_embedded,
    embedded_key,
)
from harness.kernel.artifact import KernelArtifact, KernelCache
from harness.kernel.elf import content_digest
from harness.kernel.reads import read_list
from harness.outcome import Outcome, Until
from harness.pipeline.embedded import embedded_identity
from harness.pipeline.matrix import CellPlan, booted_cell, planned_cell
from harness.results.record import Cell, to_cell_document
from harness.source.graft import graft
from harness.source.parts import KERNEL, LOADER, Part
from harness.source.revision import Change
from harness.source.tree import SourceTree, locked

if TYPE_CHECKING:
    from harness.guest.registry import KeptGuest, Registry
    from harness.host.clock import Clock
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.kernel.spec import Sanitizer
    from harness.pipeline.boot import Booter
    from harness.pipeline.kernels import Kernels, What
    from harness.pipeline.plan import BootPlan
    from harness.source.git import Repository

#: Seconds that a command of the user's may take, if no timeout says otherwise.
_COMMAND_SECONDS = 600.0

#: Seconds that the relay of a kept guest may take to start.
_RELAY_SECONDS = 30.0

#: What a command's exit status means; git-bisect(1), "Bisect run".
_SKIP, _ABORT = 125, 128

DIFFERS = "check: the guest differs from the model"
"""The title of a check that found a difference; which operation differs depends on the seed."""

#: Titles of checks that did not agree.
_CHECK_TITLES: Mapping[Conclusion, str] = MappingProxyType(
    {
        Conclusion.DIFFERS: DIFFERS,
        Conclusion.GONE: "check: the guest ended",
        Conclusion.SILENT: "check: the guest fell silent",
        Conclusion.NONSENSE: "check: the guest answers nonsense",
        Conclusion.REFUSED: "check: the guest refuses an operation",
    }
)

#: Outcomes of a boot that may have reached its goal all the same.
_SURVIVED = frozenset({Outcome.BOOTED, Outcome.KASAN, Outcome.KMSAN})


class Revisions(Protocol):
    """Provides the kernels of a history."""

    @property
    def relevance(self) -> Relevance:
        """What they are made from."""
        ...

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        """The kernel of a revision; raises as ``Kernels.provide``."""
        ...


@dataclass(frozen=True, slots=True)
class TreeRevisions:
    """Of a FreeBSD tree.

    A revision's kernel and loader are built with the toolchain of one revision, ``base``, as long
    as that can be: what else differs between revisions would have the toolchain made anew.

    Args:
        kernels: builds them.
        tree: where the revisions are.
        what: source and configuration.
        sanitizer: of the kernels.
        base: the revision that all else is taken from.
        module: whether the check module is needed, too.
    """

    kernels: Kernels
    tree: SourceTree
    what: What
    sanitizer: Sanitizer
    base: str
    module: bool = False

    @property
    def relevance(self) -> Relevance:
        """See ``Revisions``."""
        return FREEBSD

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        """See ``Revisions``."""
        repository = self.tree.repository
        paths = sorted(KERNEL.taken | LOADER.taken)
        grafted = graft(repository, commit, self.base, paths)
        try:
            found = self._provide(grafted, progress)
        except (BuildError, UsageError):
            if _same_rest(repository, commit, self.base, paths):
                raise
            progress.note(f"{commit[:12]} may need its own toolchain")
            found = self._provide(commit, progress)
        identity = replace(found.identity, commit=commit, label=commit[:10])
        return replace(found, identity=identity)

    def _provide(self, commit: str, progress: Progress) -> KernelArtifact:
        what = replace(self.what, change=Change(commit))
        return self.kernels.provide(what, self.sanitizer, progress, module=self.module)


def warm_base(tree: SourceTree, workspace: Workspace, candidates: Sequence[str]) -> str:
    """The first of the revisions whose toolchain is built already; the first, if none is.

    Args:
        tree: where they are.
        workspace: of the tree's lock.
        candidates: full hashes.
    """
    stamps = tree.home.glob("obj-*/toolchain.done")
    built = {stamp.read_text("utf-8", "replace") for stamp in stamps}
    if built:
        with locked(tree, workspace, lambda _: None):
            for commit in candidates:
                if tree.snapshot(Change(commit)).toolchain in built:
                    return commit
    return candidates[0]


def _same_rest(repository: Repository, one: str, other: str, paths: Sequence[str]) -> bool:
    """Whether two revisions differ in nothing that a toolchain is made from."""
    rest = (":!*.md", ":!UPDATING", ":!share", ":!tests", *(f":!{path}" for path in paths))
    found = repository.git("diff-tree", "-r", "--quiet", one, other, "--", ".", *rest, check=False)
    return found.returncode == 0


@dataclass(frozen=True, slots=True)
class EmbeddedRevisions:
    """Of a git repository that holds the built-in guest's sources.

    Args:
        workspace: for scratch files and the cache.
        runner: starts compilers.
        repository: where the revisions are.
        folder: where in it the folders of the sources are; empty for its top.
        build: which of the guest's builds.
    """

    workspace: Workspace
    runner: Runner
    repository: Repository
    folder: str
    build: EmbeddedBuild

    @property
    def relevance(self) -> Relevance:
        """See ``Revisions``."""
        shared = (f"{self._prefix}kmod/{name}" for name in SHARED)
        own = frozenset({f"{self._prefix}embedded", *shared})
        return Relevance((Part(own, left_out=frozenset({""})),), SOURCE_SUFFIXES)

    @property
    def _prefix(self) -> str:
        return f"{self.folder}/" if self.folder else ""

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        """See ``Revisions``."""
        with self.workspace.scratch("embedded") as scratch:
            progress.stage("source")
            sources = scratch / "sources"
            self._extract(commit, sources)
            key = embedded_key(self.build, sources)[:40]
            identity = embedded_identity(self.build, key, f"built-in, {commit[:10]}", commit)
            cache = KernelCache(self.workspace)
            cached = cache.find(key)
            if cached is not None:
                return replace(cached, identity=identity)
            progress.stage("kernel")
            kernel = build_embedded(self.build, self.runner, scratch / "out", sources)
            return cache.store(identity, {"kernel": kernel})

    def _extract(self, commit: str, images: Path) -> None:
        """The sources as ``build_embedded`` wants them."""
        for folder in ("embedded", "kmod"):
            make_folder(images / folder)
            listing = self.repository.lines(
                "ls-tree", "-z", "--full-tree", commit, "--", f"{self._prefix}{folder}/"
            )
            for line in listing:
                meta, path = line.split("\t", 1)
                if Path(path).suffix in SOURCE_SUFFIXES:
                    blob = self.repository.git("cat-file", "blob", meta.split(" ")[2])
                    (images / folder / Path(path).name).write_bytes(blob.stdout)


#: Files by which the built-in guest's sources are known.
_EMBEDDED_MARKS = ("entry.S", "init_main.c", "keg.c", "kernel.ld", "plant.c")


def embedded_folder(repository: Repository, commit: str) -> str | None:
    """Where in a revision the built-in guest's sources are; None if it has none."""
    for folder in ("", "images/"):
        names = (f"{commit}:{folder}embedded/{name}\n" for name in _EMBEDDED_MARKS)
        asked = "".join(names).encode()
        answers = repository.git("cat-file", "--batch-check", stdin=asked).text
        if "missing" not in answers:
            return folder.rstrip("/")
    return None


# Tests


class Examination(Protocol):
    """Says what one kernel does: by booting it, by a command, by a check against the model."""

    def examine(
        self, name: str, kernel: KernelArtifact, folder: Path, progress: Progress
    ) -> tuple[Trial, Cell | None]:
        """Examine it once.

        Args:
            name: of this examination, unique in the run.
            kernel: the kernel.
            folder: the run's; the examination's own is ``folder / name``.
            progress: told of stages.
        """
        ...


@dataclass(frozen=True, slots=True)
class BootExamination:
    """Boots it and, if there is a plan for that, holds it to the model.

    Args:
        booter: boots guests.
        boot: how.
        what: what the user named.
        sanitizer: of the kernels.
        check: how each guest is checked, but for the seed; None for a boot alone.
    """

    booter: Booter
    boot: BootPlan
    what: What
    sanitizer: Sanitizer
    check: CheckPlan | None = None

    def examine(
        self, name: str, kernel: KernelArtifact, folder: Path, progress: Progress
    ) -> tuple[Trial, Cell | None]:
        """See ``Examination``."""
        plan = CellPlan(name, "", self.what, self.sanitizer, self.boot, checker=self._checker(name))
        cell = replace(
            planned_cell(plan, self.booter),
            guest=kernel.identity.guest,
            kernel=kernel.identity,
            sanitizer=kernel.identity.sanitizer.value,
        )
        cell = booted_cell(self.booter, cell, plan, kernel, folder, progress)
        return boot_trial(cell, self.boot.until), cell

    def _checker(self, name: str) -> Checker | None:
        """Each test has a seed of its own: what one trace does not show another may."""
        if self.check is None:
            return None
        number = int("".join(itertools.takewhile(str.isdigit, name)) or 1)
        return Checker(replace(self.check, seed=number), self.booter.clock)


def boot_trial(cell: Cell, until: Until) -> Trial:
    """What a boot says in a bisection."""
    verdict = cell.verdict
    if verdict is None or cell.host_failed:
        error = cell.error or (verdict.title if verdict else "no verdict")
        return Trial(Kind.INFRA, outcome="host failed", seconds=cell.seconds, error=error)
    first = () if verdict.outcome is Outcome.BOOTED else (verdict.title,)
    titles = tuple(dict.fromkeys((*first, *verdict.titles)))
    if not _reached(cell, until):
        return Trial(Kind.FAILED, titles, verdict.outcome.value, verdict.seconds)
    if cell.check is not None and not cell.check.agreed:
        title = _CHECK_TITLES[cell.check.conclusion]
        return Trial(Kind.FAILED, (title, *titles), title, verdict.seconds, cell.check.why)
    return Trial(Kind.PASSED, titles, verdict.outcome.value, verdict.seconds)


def _reached(cell: Cell, until: Until) -> bool:
    """Whether it came to its goal, with a sanitizer's reports that it survived or without."""
    verdict = cell.verdict
    if verdict is None or verdict.outcome not in _SURVIVED:
        return False
    if verdict.outcome is Outcome.BOOTED:
        return True
    return cell.report is not None or (until is Until.MOUNTROOT and "root" in cell.stages)


@dataclass(frozen=True, slots=True)
class CommandExamination:
    """Boots it, keeps it running, and runs a command of the user's, which judges it.

    Exit status: 0 good, 125 skip, up to 127 bad, else the host's failure, as git-bisect(1) has it.

    Args:
        boot: boots it; its plan keeps the guest.
        command: the words.
        env: the environment that it is run with, to which ``HARNESS_*`` are added.
        registry: of kept guests.
        runner: starts it.
        clock: measures it.
    """

    boot: BootExamination
    command: Sequence[str]
    env: Mapping[str, str]
    registry: Registry
    runner: Runner
    clock: Clock

    def examine(
        self, name: str, kernel: KernelArtifact, folder: Path, progress: Progress
    ) -> tuple[Trial, Cell | None]:
        """See ``Examination``."""
        trial, cell = self.boot.examine(name, kernel, folder, progress)
        log = (folder / name / "console.log").resolve()
        guests = [guest for guest in self.registry.live() if guest.console == log]
        try:
            if trial.kind is not Kind.PASSED or not guests:
                return trial, cell
            progress.stage("command")
            judged = self._run(guests[0], kernel, folder / name)
            return replace(judged, seconds=trial.seconds + judged.seconds), cell
        finally:
            for guest in guests:
                self.registry.end(guest)

    def _run(self, guest: KeptGuest, kernel: KernelArtifact, folder: Path) -> Trial:
        env = {**self.env, **_command_environment(guest, kernel, folder)}
        self._wait_for(guest)
        started = self.clock.monotonic()
        limit = self.boot.boot.timeout or _COMMAND_SECONDS
        with (folder / "command.log").open("wb") as output:
            process = self.runner.spawn(list(self.command), env=env, stdout=output, stderr=output)
            try:
                status = process.wait(limit)
            finally:
                process.kill()
        seconds = round(self.clock.monotonic() - started, 3)
        return command_trial(self.command[0], status, limit, seconds)

    def _wait_for(self, guest: KeptGuest) -> None:
        """Until its relay listens, which has only just been started."""
        until = self.clock.monotonic() + _RELAY_SECONDS
        while not guest.entrance.exists() and self.clock.monotonic() < until:
            self.clock.sleep(0.05)


def _command_environment(guest: KeptGuest, kernel: KernelArtifact, folder: Path) -> dict[str, str]:
    """What the command is told; README.md lists it."""
    return {
        "HARNESS_GUEST": guest.name,
        "HARNESS_CONSOLE": str(guest.console),
        "HARNESS_CONSOLE_SOCKET": str(guest.entrance),
        "HARNESS_KERNEL": str(kernel.kernel),
        "HARNESS_KERNEL_DEBUG": str(kernel.debug),
        "HARNESS_REVISION": kernel.identity.commit or "",
        "HARNESS_NODES": str(guest.nodes),
        "HARNESS_FOLDER": str(folder.resolve()),
    }


def command_trial(name: str, status: int | None, limit: float, seconds: float) -> Trial:
    """What a command's exit status says; None if it had to be ended."""
    if status is None:
        return Trial(Kind.FAILED, (f"{name} took longer than {limit:g} s",), "bad", seconds)
    if status == 0:
        return Trial(Kind.PASSED, (), "good", seconds)
    if status == _SKIP:
        return Trial(Kind.SKIPPED, (), "skip", seconds)
    if 0 < status < _ABORT:
        return Trial(Kind.FAILED, (f"{name} failed",), f"bad ({status})", seconds)
    error = f"{name} ended with {status}, which says nothing of the revision"
    return Trial(Kind.INFRA, (), "aborted", seconds, error)


@dataclass(slots=True)
class KernelTester:
    """Builds and examines revisions; see ``harness.bisect.tester.Tester``.

    Args:
        revisions: provides kernels.
        examination: says what they do.
        booter: whose guests end with us.
        folder: the run's.
        clock: measures builds.
    """

    revisions: Revisions
    examination: Examination
    booter: Booter
    folder: Path
    clock: Clock
    _kernels: dict[str, KernelArtifact] = field(default_factory=dict)

    def build(self, commit: str, progress: Progress) -> Built:
        """See ``Tester``."""
        started = self.clock.monotonic()
        kernel = self.revisions.kernel(commit, progress)
        self._kernels[commit] = kernel
        return Built(
            content_digest(kernel), self.clock.monotonic() - started, read_list(kernel.kernel)
        )

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        """See ``Tester``."""
        try:
            trial, done = self.examination.examine(
                cell, self._kernels[commit], self.folder, progress
            )
        except HarnessError as error:
            if error.exit_code == UsageError.exit_code:
                raise
            return Trial(Kind.INFRA, outcome="host failed", error=str(error))
        if done is not None:
            document = json.dumps(to_cell_document(done), indent=1, default=str)
            write_atomic(self.folder / cell / "cell.json", document + "\n")
        return trial

    def close(self) -> None:
        """See ``Tester``."""
        self.booter.cancelled.set()
        self.booter.runner.close()


def built_in(sanitizer: Sanitizer) -> EmbeddedBuild:
    """The build of the built-in guest that a history of it is bisected with."""
    return EmbeddedBuild(Variant.AFTER, sanitizer)
