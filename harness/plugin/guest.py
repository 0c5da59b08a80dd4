"""The guest of a test: booted on first use, shared by its scope, replaced after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from harness.errors import UsageError
from harness.provide.sources import NAMED_SOURCES
from harness.runs.compare import Pair, sides_of
from harness.runs.guests import GuestRequest
from harness.runs.session import GuestSession, PlannedSession, SessionRequest, plan_session
from harness.runs.sessionfailure import ExpectedPanic, GuestFailed, expect_panic
from harness.sanitizers import parse_sanitizers
from harness.source.change import Change
from harness.source.location import existing_location
from harness.source.request import KernelRequest

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.plugin.variants import GuestVariant
    from harness.runs.environment import Environment
    from harness.shell.shell import Completed, OutputSink

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TestedKernel:
    """The kernel of a test's guest.

    Args:
        side: ``before`` or ``after``; empty without a pair.
        identity: what it was built from: revision, configuration, sanitizers, release.
        file: the kernel, an ELF file.
        debug: the file with its debug symbols.
    """

    side: str
    identity: KernelIdentity
    file: Path
    debug: Path

    def __str__(self) -> str:
        return f"{self.identity.guest}, {self.identity.label}"


class SharedGuest:
    """A guest that tests share; it boots when it is first used, and again after a failure.

    Args:
        variant: which one.
        planned: its plan and its kernel.

    Attributes:
        variant: see above.
        panics: whether its kernel is expected to fail.
        failed: its last failure that a test got; None if there was none.
    """

    def __init__(self, variant: GuestVariant, planned: PlannedSession) -> None:
        self.variant = variant
        self.panics = False
        self.failed: GuestFailed | None = None
        self._planned = planned
        self._session: GuestSession | None = None
        self._last: GuestSession | None = None

    @property
    def kernel(self) -> TestedKernel:
        """Its kernel."""
        artifact = self._planned.kernel
        return TestedKernel(self.variant.side, artifact.identity, artifact.kernel, artifact.debug)

    @property
    def topology(self) -> Topology:
        """Its nodes."""
        return self._planned.topology

    @property
    def console(self) -> str:
        """The text of its console so far, as the guest printed it; empty before it boots.

        After a failure, it is that guest's until the test ends.
        """
        return self._last.console if self._last else ""

    @property
    def console_log(self) -> Path | None:
        """The file of its console; None before it boots."""
        return self._last.console_log if self._last else None

    def boot(self) -> None:
        """Boot it, unless it runs.

        Raises:
            GuestFailed: it does not boot.
        """
        self._call(lambda _: None)

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        """Run a command line of sh(1), and return its exit status and output.

        Args:
            command: the command line.
            timeout: most seconds that the guest can have run meanwhile; None: no limit.
            stdin: its standard input.
            sink: receives the output; the result then has none.

        Raises:
            GuestFailed: the guest failed meanwhile.
            ShellError: the command did not end.
        """
        return self._call(
            lambda session: session.run(command, timeout=timeout, stdin=stdin, sink=sink)
        )

    def sysctl(self, name: str) -> str:
        """Return the value of a sysctl(8); see ``GuestSession``."""
        return self._call(lambda session: session.sysctl(name))

    def put(self, source: Path | str, target: PurePosixPath | str) -> None:
        """Copy a file or a directory into the guest; see ``GuestSession``."""
        self._call(lambda session: session.put(Path(source), target))

    def get(self, source: PurePosixPath | str, target: Path | str) -> None:
        """Copy a file from the guest; see ``GuestSession``."""
        self._call(lambda session: session.get(source, Path(target)))

    @contextmanager
    def panic_expected(self, match: str = "") -> Iterator[ExpectedPanic]:
        """Expect that the kernel fails before the end of the context; then another guest boots.

        Args:
            match: regular expression to be found in the title of the verdict.

        Raises:
            PanicMissingError: it does not fail, or in another way.
        """
        with expect_panic(self, match) as expected:
            yield expected

    def begin_test(self) -> None:
        """Forget the console and the failure of a guest that has ended."""
        if self._session is None:
            self._last = self.failed = None

    def require_alive(self) -> None:
        """Raise the failure of a guest that failed while no test used it.

        Raises:
            GuestFailed: that failure.
        """
        if self._session is not None and self._session.failure is not None:
            self._call(lambda _: None)

    def close(self) -> None:
        """End the guest, and write its record; the next use boots another one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _call(self, work: Callable[[GuestSession], _T]) -> _T:
        __tracebackhide__ = True
        session = self._session or self._booted()
        session.panics = self.panics
        try:
            session.require_alive()
            return work(session)
        except GuestFailed as failure:
            self.failed = failure
            raise
        finally:
            if session.failure is not None:
                self._session = None

    def _booted(self) -> GuestSession:
        __tracebackhide__ = True
        session = self._last = GuestSession(self._planned, panics=self.panics)
        try:
            session.start()
        except GuestFailed as failure:
            self.failed = failure
            raise
        self._session = session
        return session


@dataclass(slots=True)
class SharedGuests:
    """The guests of a pytest process.

    Args:
        env: the host.
    """

    env: Environment
    alive: list[SharedGuest] = field(default_factory=list)
    _planned: dict[GuestVariant, PlannedSession] = field(default_factory=dict)

    def planned(self, variant: GuestVariant) -> PlannedSession:
        """Return the plan of a guest, with its kernel, which is built once.

        Raises:
            HarnessError: the kernel cannot be built, or the guest cannot be booted.
        """
        if variant not in self._planned:
            self._planned[variant] = plan_session(session_request(variant, self.env), self.env)
        return self._planned[variant]

    @contextmanager
    def guest(self, variant: GuestVariant, planned: PlannedSession) -> Iterator[SharedGuest]:
        """Yield a guest, and end it."""
        guest = SharedGuest(variant, planned)
        self.alive.append(guest)
        try:
            yield guest
        finally:
            self.alive.remove(guest)
            guest.close()

    def close(self) -> None:
        """End all guests, and everything else that runs."""
        for guest in self.alive:
            with suppress(Exception):  # each is ended, whatever the others do
                guest.close()
        self.env.runner.close()


def session_request(variant: GuestVariant, env: Environment) -> SessionRequest:
    """Return the request of a test's guest.

    Raises:
        UsageError: its source, its kernel or its pair does not exist.
    """
    setting = variant.setting
    kernel = setting("kernel")
    source = "" if kernel else existing_location(
        setting("source"), lambda: env.settings.source.tree, NAMED_SOURCES
    )  # fmt: skip
    what = KernelRequest(
        source, Change(setting("rev")), setting("kernconf"), Path(kernel) if kernel else None
    )
    guest = GuestRequest(
        numa=None if variant.vm else str(variant.nodes),
        vm=variant.vm or None,
        memory=setting("memory"),
        cpus=setting("cpus"),
        backend=setting("backend"),
        method=setting("boot"),
        accelerator=setting("accelerator"),
        tunables=dict(variant.tunables),
    )
    sanitizers = None if variant.sanitizers is None else parse_sanitizers(variant.sanitizers)
    return SessionRequest(_with_side(variant, what, env), guest, sanitizers, variant.side)


def _with_side(variant: GuestVariant, what: KernelRequest, env: Environment) -> KernelRequest:
    """Return the kernel of the test's side, with its patch or mutant."""
    setting = variant.setting
    patch = Path(setting("patch")) if setting("patch") else None
    if not variant.side:
        change = Change(setting("rev"), patch=patch, mutant=setting("mutant"))
        return KernelRequest(what.source, change, what.kernconf, what.kernel)
    pair = Pair(setting("commit"), setting("before"), setting("after"), patch, setting("mutant"))
    only = env.kernels().provider(what).pair(what)
    if only is not None and pair == Pair(mutant=only[0].change.mutant):
        pair = Pair()  # it was named, though there is no other
    if only is None and not pair.ways():
        raise UsageError(
            "before_after needs a pair of kernels",
            remedy="name --harness-commit, --harness-before and --harness-after, --harness-patch "
            "or --harness-mutant, or mutant= in the marker",
        )
    before, after = sides_of(what, pair, env)
    return before if variant.side == "before" else after
