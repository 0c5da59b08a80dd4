"""Leases the jobs of a night to the hosts of its group, and collects what they report.

``placement.place`` decides what runs where; this has the database, the clock and the thread. After
it was killed, a job that is submitted again goes on with its newest lease.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from harness.errors import HarnessError, InfraError
from harness.group.celldirectory import Lack, failed
from harness.group.holdings import Holdings
from harness.group.leases import OPEN, GroupLeases, KnownHost, Lease, Report
from harness.group.placement import FAILURES, HostState, Job, place, refusal
from harness.group.silence import gone_leases, is_gone
from harness.group.wanted import Wanted

if TYPE_CHECKING:
    from harness.host.clock import Clock

#: Seconds between looks at the group.
_TICK: Final = 0.25

#: Seconds in which what is reported is gathered before the next look.
_GATHERED: Final = 0.01

#: Seconds for which a database that is away is waited for.
_PATIENCE: Final = 180.0

#: Hosts that try a job at most.
_TRIES: Final = 3

#: Times that a job finds no kernel where it should be.
_LACKS: Final = 5


@dataclass(slots=True)
class Dispatcher:
    """Leases jobs; its methods can be called from any thread.

    Args:
        leases: the leases of the night.
        version: the harness by its content; other hosts get nothing.
        silence: seconds after which a silent host is gone.
        clock: measures time.
        note: shows a line.
    """

    leases: GroupLeases
    version: str
    silence: float
    clock: Clock
    note: Callable[[str], None]
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Event = field(default_factory=threading.Event)
    _ended: bool = False
    _error: HarnessError | None = None
    _thread: threading.Thread | None = None
    _waiting: dict[str, Wanted] = field(default_factory=dict)
    _leased: dict[int, Wanted] = field(default_factory=dict)
    _builds: dict[str, Wanted] = field(default_factory=dict)
    _holdings: Holdings = field(default_factory=Holdings)
    _without: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _in_a_row: Counter[str] = field(default_factory=Counter)
    _told: set[str] = field(default_factory=set)
    _idle_since: float | None = None

    def start(self) -> None:
        """Begin to lease."""
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def submit(self, job: Job, order: Mapping[str, Any]) -> Future[Report]:
        """Have a job done; its report is that of the first host that does it, or of the last.

        Args:
            job: the job.
            order: what its host is told: a small JSON document.

        Raises:
            HarnessError: the history cannot be read, no host is left, or the night is being ended.
        """
        future: Future[Report] = Future()
        wanted = Wanted(job, order, future)
        known = self.leases.newest(job.id)
        stored = known is not None and known.state == "kept"
        report = self.leases.report(known.id) if known is not None and stored else None
        with self._guard:
            if job.makes:
                self._builds[job.makes] = wanted
            wanted.attempt = known.attempt + 1 if known else 0
            if known is None or known.state in ("lost", "cancelled", "late"):
                self._waiting[job.id] = wanted
            elif report is None:
                self._leased[known.id] = wanted
            else:
                self._reported(wanted, report)
            error = self._error
        if error is not None:
            raise error
        self._changed.set()
        return future

    def close(self, *, cancel: bool = False) -> None:
        """Lease nothing more.

        Args:
            cancel: whether what runs is to be ended; otherwise it goes on, and is found again by
                the next asker of this night.
        """
        self._ended = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
        self._fail(InfraError("the night is being ended"))
        # A kernel that is only moved is of no more use.
        unwanted = [
            number for number, each in self._leased.items() if cancel or each.future is None
        ]
        if unwanted:
            with contextlib.suppress(InfraError):
                self.leases.withdraw(unwanted, "cancelled")

    @property
    def set_aside(self) -> list[str]:
        """Names of the hosts that failed so often that they got nothing more."""
        with self._guard:
            return sorted(name for name, count in self._in_a_row.items() if count >= FAILURES)

    # The thread

    def _run(self) -> None:
        good = self.clock.monotonic()
        with self.leases.noticing(self._changed.set):
            while not self._ended:
                try:
                    self._step()
                    good = self.clock.monotonic()
                except HarnessError as error:
                    late = self.clock.monotonic() - good > _PATIENCE
                    if late or not isinstance(error, InfraError):
                        self._fail(error)
                        return
                self._changed.wait(_TICK)
                self.clock.sleep(_GATHERED)
                self._changed.clear()

    def _step(self) -> None:
        """Collect, notice hosts that are gone, and lease."""
        with self._guard:
            leased = set(self._leased)
        hosts, leases = self.leases.hosts(), self.leases.open()
        for lease in leases:
            if lease.state == "ended" and lease.id in self._leased:
                report = self.leases.report(lease.id)
                with self._guard:
                    self._reported(self._leased.pop(lease.id), report)
        # What was taken back while the server was lost.
        self._return(leased - {lease.id for lease in leases})
        leases = [lease for lease in leases if lease.state in OPEN]
        self._take_back(hosts, leases)
        self._lease(hosts, leases)

    def _reported(self, wanted: Wanted, report: Report) -> None:
        """Take the report on a lease; the guard is held."""
        job, host, document = wanted.job, report.host, report.document
        has_failed = document.get("kind") != "done" or bool(document.get("host_failed"))
        if wanted.kernel:
            self._moved(wanted, report, has_failed=has_failed)
            return
        if has_failed and self._was_lacking(wanted, report):
            return
        self._in_a_row[host] = self._in_a_row[host] + 1 if has_failed else 0
        if self._in_a_row[host] >= FAILURES:
            self._say(f"{host} fails what it is given, and gets nothing more in this night")
        if has_failed:
            wanted.failures.append(report)
            wanted.job = replace(job, avoid=job.avoid | {host})
            if len(wanted.failures) < _TRIES:
                self._waiting[job.id] = wanted
                return
        elif job.makes and not self._holdings.built(job.makes, _inner(report), host):
            self._say(f"{host} builds other kernels of the same sources, and is not given them")
        if wanted.future is not None:
            wanted.future.set_result(report)

    def _was_lacking(self, wanted: Wanted, report: Report) -> bool:
        """Return whether a host only lacked the job's source or kernel, so that another gets it."""
        lack, job = report.document.get("lacks"), wanted.job
        if lack == Lack.SOURCE and job.makes:
            self._without[job.source].add(report.host)
            wanted.last = report
        elif lack == Lack.KERNEL and job.kernel and wanted.lacked < _LACKS:
            self._holdings.lost(job.kernel, report.host)
            wanted.lacked += 1
        else:
            return False
        self._waiting[job.id] = wanted
        return True

    def _moved(self, wanted: Wanted, report: Report, *, has_failed: bool) -> None:
        """Take the report on a kernel's way to another host."""
        kernel, host = wanted.kernel, report.host
        lack, why = report.document.get("lacks"), report.document.get("why")
        if wanted.job.makes:
            if not has_failed:
                self._holdings.arrived(kernel, host)
                return
            if lack != Lack.PARTS:
                self._say(
                    f"{host} did not take a kernel from {self._holdings.sender(kernel)}: {why}"
                )
            self._holdings.not_arrived(kernel, host, wrong=lack == Lack.RIGHT_FILE)
        elif has_failed:
            self._holdings.lost(kernel, host)
        else:
            self._holdings.sent(kernel, host)

    def _take_back(self, hosts: Iterable[KnownHost], leases: list[Lease]) -> None:
        """Lease anew what was leased to hosts that are gone."""
        gone = gone_leases(hosts, [each for each in leases if each.own], self.silence)
        if not gone:
            return
        for name in sorted({lease.host for lease in gone}):
            self.note(f"{name} has not reported for {self.silence:g} s: its cells are placed anew")
        lost = self.leases.withdraw([lease.id for lease in gone], "lost")
        leases[:] = [lease for lease in leases if lease.id not in lost]
        self._return(lost)

    def _return(self, lost: Iterable[int]) -> None:
        """Let the jobs of lost leases wait again."""
        with self._guard:
            for number in lost:
                wanted = self._leased.pop(number, None)
                if wanted is not None and wanted.future is not None:
                    self._waiting[wanted.job.id] = wanted

    def _lease(self, hosts: list[KnownHost], leases: Iterable[Lease]) -> None:
        states = self._states(hosts, leases)
        with self._guard:
            self._build_lost(states)
            waiting = {id_: self._allowed(each.job) for id_, each in self._waiting.items()}
        self._give_up(waiting, states)
        decided = place(waiting.values(), states, lanes=len(states))
        for job, host in decided.starts:
            self._place(self._waiting[job.id], host)
        there = [state.offer.name for state in states]
        for kernel, host in decided.moves:
            self._move(kernel, host, there)

    def _move(self, kernel: str, host: str, there: Collection[str]) -> None:
        """Have a kernel sent by a host that has it, and then fetched by another one."""
        sender = self._holdings.sender(kernel)
        holder = sender or self._holdings.holder(kernel, there)
        job = Job(f"send {kernel} from {holder}", 0.0, 0.0)
        if sender:
            job = Job(f"receive {kernel} on {host}", 0.0, 0.0, makes=kernel)
        if not holder or any(each.job.id == job.id for each in self._leased.values()):
            return
        step = {"kind": "receive" if sender else "send", "sender": sender}
        order = {**self._builds[kernel].order, **step, "held": self._holdings.held(kernel)}
        known = self.leases.newest(job.id)
        attempt = known.attempt + 1 if known else 0
        self._place(Wanted(job, order, None, attempt, kernel=kernel), host if sender else holder)

    def _place(self, wanted: Wanted, host: str) -> None:
        known = self.leases.newest(wanted.job.id) if wanted.unsure else None
        wanted.unsure = True
        if known is not None and known.attempt >= wanted.attempt:
            number = known.id
        else:
            number = self.leases.place(wanted.job, wanted.attempt, host, wanted.order)
        with self._guard:
            wanted.unsure = False
            wanted.attempt += 1
            self._waiting.pop(wanted.job.id, None)
            self._leased[number] = wanted

    def _states(self, hosts: Iterable[KnownHost], leases: Iterable[Lease]) -> list[HostState]:
        """Return the hosts that can be given something."""
        running: dict[str, list[Job]] = defaultdict(list)
        coming: dict[str, set[str]] = defaultdict(set)
        for lease in leases:
            wanted = self._leased.get(lease.id)
            if wanted is None:
                job = Job(lease.job, 0.0, lease.cores, lease.memory)
            else:
                job = wanted.job
                if job.makes:
                    coming[lease.host].add(job.makes)
            running[lease.host].append(job)
        found = []
        for host in hosts:
            name = host.offer.name
            if host.version != self.version:
                self._say(f"{name} has another version of the harness, and gets nothing")
                continue
            if host.leaving or is_gone(host.silent, self.silence):
                continue
            have = self._holdings.at(name, host.kernels)
            found.append(
                HostState(
                    host.offer, tuple(running[name]), have,
                    frozenset(coming[name] - have), self._in_a_row[name],
                )
            )  # fmt: skip
        return found

    def _allowed(self, job: Job) -> Job:
        """Return a job that does not run where its kernel or its source cannot be had."""
        avoid = self._without[job.source] if job.makes else self._holdings.barred(job.kernel)
        return replace(job, avoid=job.avoid | avoid)

    def _build_lost(self, states: Iterable[HostState]) -> None:
        """Build kernels again that no host has any more."""
        exist = {kernel for state in states for kernel in state.kernels | state.coming}
        for wanted in list(self._waiting.values()):
            made = self._builds.get(wanted.job.kernel)
            if made is None or wanted.job.kernel in exist or made.job.id in self._waiting:
                continue
            if len(made.failures) < _TRIES and made.rebuilt < _TRIES:
                made.rebuilt += 1
                made.future = Future()
                self._waiting[made.job.id] = made
            elif wanted.future is not None:
                del self._waiting[wanted.job.id]
                last = [*made.failures, *([made.last] if made.last else [])]
                lost = Report(0, "the group", failed("no host keeps the kernel"))
                wanted.future.set_result(last[-1] if last else lost)

    def _give_up(self, waiting: dict[str, Job], states: list[HostState]) -> None:
        """End jobs that all hosts have failed; wait for hosts if there is none."""
        offers = [state.offer for state in states if not state.is_set_aside]
        if offers or not waiting or self._leased:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = self.clock.monotonic()
            self.note("no host of the group is there; waiting for one")
        elif self.clock.monotonic() - self._idle_since > self.silence:
            raise _NoHostsError(
                f"no host of the group has been there for {self.silence:g} s",
                remedy="start workers, and go on with the night: harness worker URL",
            )
        for id_, job in list(waiting.items()):
            wanted = self._waiting[id_]
            last = wanted.failures[-1] if wanted.failures else wanted.last
            if offers and last is not None and refusal(job, offers):
                del waiting[id_]
                with self._guard:
                    del self._waiting[id_]
                if wanted.future is not None:
                    wanted.future.set_result(last)

    def _fail(self, error: HarnessError) -> None:
        """End all jobs with an error, and those that are still to come."""
        with self._guard:
            self._error = error
            left = [*self._waiting.values(), *self._leased.values()]
            self._waiting.clear()
        for wanted in left:
            if wanted.future is not None and not wanted.future.done():
                wanted.future.set_exception(error)

    def _say(self, line: str) -> None:
        """Show a line once."""
        if line not in self._told:
            self._told.add(line)
            self.note(line)


class _NoHostsError(HarnessError):
    """No host is there; waiting is no use."""


def _inner(report: Report) -> Mapping[str, Any]:
    document = report.document.get("document")
    return document if isinstance(document, dict) else {}
