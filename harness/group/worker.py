"""A worker: takes what is leased to its host, and reports what came out.

Each job is a process of its own in a session of its own, which goes on when the worker, the server
or the asker ends. Its directory has its order and its result until that is reported, so that the
next worker of the host reports what this one could not.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.errors import HarnessError, InfraError, UsageError
from harness.group.celldirectory import CellDirectory, failed
from harness.group.queues import Receiver
from harness.group.reports import HostReports
from harness.host.workspace import make_directory

if TYPE_CHECKING:
    from pathlib import Path

    from harness.group.placement import HostOffer
    from harness.history.url import DatabaseUrl
    from harness.host.clock import Clock
    from harness.host.process import Runner

#: Seconds between looks at the cells.
_TICK: Final = 0.25

#: Seconds between comparisons of what the host has with what the group expects of it.
_RECONCILE: Final = 15.0


@dataclass(frozen=True, slots=True)
class WorkerHost:
    """What a worker is started with.

    Args:
        url: the group's database, with the worker's role.
        offer: what the host offers.
        version: the harness by its content, and Python.
        schema: the tables that this harness knows.
        installed: the state of the harness's files, which its cells compare with theirs.
        directory: for the directories of its cells; of this host and database alone.
        program: a cell's program; it is given the cell's directory.
        environment: variables of its cells.
        kernels: returns the keys of the kernels in the host's cache.
        beat: seconds between reports that the worker runs.
    """

    url: DatabaseUrl
    offer: HostOffer
    version: str
    schema: str
    installed: str
    directory: Path
    program: Sequence[str]
    environment: Mapping[str, str]
    kernels: Callable[[], Sequence[str]]
    beat: float = 5.0


@dataclass(slots=True)
class Worker:
    """A worker of one host.

    Args:
        host: the host.
        runner: starts cells.
        clock: measures time.
        note: shows a line.
        leaving: set when it is to finish what it has, and end.
    """

    host: WorkerHost
    runner: Runner
    clock: Clock
    note: Callable[[str], None]
    leaving: threading.Event = field(default_factory=threading.Event)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _taking: HostReports = field(init=False)
    _reports: HostReports = field(init=False)
    _beaten: float = field(default=-math.inf, init=False)
    _reconciled: float = field(default=-math.inf, init=False)
    _orders: frozenset[int] = frozenset()
    _away: bool = False

    def __post_init__(self) -> None:
        self._taking = HostReports(self.host.url, self.host.offer.name)
        self._reports = HostReports(self.host.url, self.host.offer.name)

    def run(self) -> None:
        """Work until ``leaving`` is set and all cells have ended.

        Raises:
            UsageError: the group refuses this host.
            InfraError: the server does not answer at the start.
        """
        offer = self.host.offer
        make_directory(self.host.directory)
        self._reports.announce(offer, self.host.version, self.host.schema)
        self.note(
            f"{offer.name} works for {self.host.url.label}: {offer.cores:g} cores, "
            f"{offer.memory / (1 << 30):.1f} GiB, {', '.join(sorted(offer.accelerators))}"
        )
        receiver = Receiver(self.host.url, offer.name, self.take)
        receiver.start()
        try:
            while not self.leaving.is_set() or self._has_cells():
                if self.leaving.is_set():
                    receiver.stop()
                self._try_step()
                self.clock.sleep(_TICK)
        finally:
            receiver.stop()
            with contextlib.suppress(HarnessError):
                self._reports.beat(self.host.kernels(), leaving=True)
            self._reports.close()
            self._taking.close()

    def take(self, lease: int, order: Mapping[str, Any]) -> None:
        """Take an order, and start its cell; do nothing if it was taken already or withdrawn.

        Raises:
            InfraError: the server fails, or the disk; then it can be called again.
        """
        with self._guard:
            cell = CellDirectory(self.host.directory / str(lease))
            if cell.order() is None:
                if not self._taking.take(lease):
                    return
                offer = self.host.offer
                most = {"cores": offer.cores, "memory": offer.memory}
                cell.write_order(
                    {
                        "order": dict(order), "most": most, "host": offer.name,
                        "allowed": offer.commands, "installed": self.host.installed,
                    }
                )  # fmt: skip
            if not cell.was_started and cell.result() is None:
                self._start(cell, order)

    def _start(self, cell: CellDirectory, order: Mapping[str, Any]) -> None:
        refusal = self._refusal(order)
        if refusal:
            cell.write_result(failed(refusal))
            return
        with cell.starting() as descriptors:
            if descriptors is None:
                return
            lock, log = descriptors
            try:
                self.runner.spawn(
                    [*self.host.program, str(cell.path)], env=self.host.environment, stdout=log,
                    stderr=log, pass_fds=(lock,), outlives_us=True,
                )  # fmt: skip
            except OSError as error:
                cell.write_result(failed(f"its process was not started: {error.strerror}"))

    def _refusal(self, order: Mapping[str, Any]) -> str:
        """Return why the host does not carry out an order, in words; empty: it does."""
        if order.get("version") != self.host.version:
            return (
                f"another version of the harness asks for it, {order.get('version')}; this host "
                f"has {self.host.version}"
            )
        if order.get("commands") is not False and not self.host.offer.commands:
            return (
                "it runs commands on the host, and the worker was started without --allow-commands"
            )
        return ""

    def _has_cells(self) -> bool:
        return bool(CellDirectory.all_in(self.host.directory))

    def _try_step(self) -> None:
        """Look at all cells; a server that is away is tried again."""
        try:
            self._step()
        except UsageError as error:
            self.note(f"the group refuses {self.host.offer.name}: {error.message}")
            raise
        except InfraError as error:
            if not self._away:
                self.note(f"{error.message}; its cells go on, and are reported later")
            self._away = True
            self.clock.sleep(1.0)
        else:
            if self._away:
                self.note("the group's database is back")
            self._away = False

    def _step(self) -> None:
        now = self.clock.monotonic()
        if now - self._beaten >= self.host.beat:
            self._reports.beat(self.host.kernels(), leaving=self.leaving.is_set())
            self._beaten = now
        with self._guard:
            for cell in CellDirectory.all_in(self.host.directory):
                self._look(cell)
            if now - self._reconciled >= _RECONCILE:
                self._reconcile()
                self._reconciled = now

    def _look(self, cell: CellDirectory) -> None:
        """Report a cell that has ended."""
        if cell.is_running:
            return
        found, order = cell.result(), cell.order()
        if found is None and order is None:
            cell.remove()  # it was being written when the worker was killed
            return
        if found is None and order is not None and not cell.was_started:
            self._start(cell, order["order"])
            return
        if found is None:
            words = cell.last_words()
            found = (
                failed("its process ended without a result" + (f": {words}" if words else "")),
                b"",
            )
        self._reports.report(cell.lease, *found)
        cell.remove()

    def _reconcile(self) -> None:
        """Report what the group expects of this host, and it does not have."""
        own = {cell.lease for cell in CellDirectory.all_in(self.host.directory)}
        for lease, state in self._reports.running().items():
            if state == "running" and lease not in own:
                self._reports.report(lease, failed("the host has lost it"), b"")
        self._orders = self._reports.free_orders(self._orders)
