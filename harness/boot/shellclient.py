"""A client that runs the commands of other threads through a guest's shell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from harness.shell.shell import ShellError, ShellLostError

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.guest.contact import Contact
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.shell.shell import Shell

_T = TypeVar("_T")


class Shells(Protocol):
    """A way to open the shell of a guest."""

    @property
    def tunables(self) -> Mapping[str, str]:
        """Kernel environment that the shell needs, by name."""
        ...

    def open(self, contact: Contact, report: GuestReport, time: Clock) -> Shell:
        """Open the shell of a guest that has printed its report.

        Args:
            contact: the ways to the guest.
            report: the report.
            time: measures how long the guest could run.

        Raises:
            ShellError: there is none.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Job(Generic[_T]):
    """What a thread wants done with the shell."""

    work: Callable[[Shell], _T]
    result: Future[_T] = field(default_factory=Future)

    def run(self, shell: Shell) -> None:
        """Do it.

        Raises:
            ShellLostError: the shell cannot be used any more.
        """
        try:
            self.result.set_result(self.work(shell))
        except BaseException as error:  # raised in the thread that waits for it
            self.result.set_exception(error)
            if isinstance(error, ShellLostError):
                raise


class ShellClient:
    """Runs jobs in a guest, one after the other; a client (``harness.boot.guestclient``).

    Args:
        shells: opens the guest's shell.
        ready: called when the shell is open.

    Attributes:
        lost: why the shell was lost, or could not be opened; None if it was not.
    """

    module = ""

    def __init__(self, shells: Shells, ready: Callable[[], None] = lambda: None) -> None:
        self._shells = shells
        self._ready = ready
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._ended = False
        self._shell: Shell | None = None
        self.lost: ShellError | None = None

    @property
    def tunables(self) -> Mapping[str, str]:
        """See ``GuestClient``."""
        return self._shells.tunables

    def submit(self, work: Callable[[Shell], _T]) -> Future[_T]:
        """Have the guest's thread call ``work`` with the shell; return its result, once there."""
        job = _Job(work)
        with self._lock:
            if self._ended:
                job.result.set_exception(ShellLostError("the guest has ended"))
            else:
                self._jobs.put(job)
        return job.result

    def work(self, contact: Contact, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Run jobs until there are no more, or the shell is lost."""
        del progress
        try:
            with closing(self._shells.open(contact, report, time)) as shell:
                self._shell = shell
                shell.connect()
                self._ready()
                while (job := self._jobs.get()) is not None:
                    job.run(shell)
        except ShellError as error:
            self.lost = error

    def stop(self) -> None:
        """See ``GuestClient``; what runs raises ``ShellLostError``."""
        self.finish()
        if self._shell is not None:
            self._shell.close()

    def finish(self) -> None:
        """Accept no more jobs, and end after those that were submitted."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._jobs.put(None)

    def abandon(self) -> None:
        """Let the jobs that were not run fail; ``work`` has ended, or was never called."""
        self.finish()
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                job.result.set_exception(ShellLostError("the guest has ended"))
