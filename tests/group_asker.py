"""A night that leases jobs to workers, which are real processes; cells sleep instead of booting."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from command import GLANCE
from group_program import GIB, VERSION
from machine_group import PATIENCE, MachineGroup

from harness.group.dispatcher import Dispatcher
from harness.group.leases import GroupLeases, Report
from harness.group.placement import Job
from harness.history.database import Database
from harness.history.store import NightStore
from harness.host.clock import HostClock
from harness.nightly.night import Night, NightState

PROGRAM = Path(__file__).parent / "group_program.py"


@dataclass
class Asker:
    """A night that leases jobs to workers."""

    group: MachineGroup
    directory: Path
    silence: float = 10 * PATIENCE
    notes: list[str] = field(default_factory=list)
    number: int = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.directory / "log"
        self.log.touch()
        self.database = Database.open(self.group.owner)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        begun = NightStore(self.database, "made").begin(
            Night("made", 0, NightState.RUNNING, now), [], 86400.0
        )
        self.number = begun.number

    @contextlib.contextmanager
    def asking(self) -> Iterator[Dispatcher]:
        """Yield a dispatcher of the night; at the end it is gone as if it had been killed."""
        leases = GroupLeases(self.database, "made", self.number)
        made = Dispatcher(leases, VERSION, self.silence, HostClock(), self.notes.append)
        made.start()
        try:
            yield made
        finally:
            made.close()

    @contextlib.contextmanager
    def worker(
        self, name: str, before: Sequence[str] = (), **more: Any
    ) -> Iterator[subprocess.Popen[bytes]]:  # fmt: skip
        """Yield a worker; its cells are killed with it at the end.

        Args:
            name: name of its host.
            before: words before its command.
            more: see ``group_program.worker``.
        """
        given = {
            "name": name, "url": str(self.group.worker),
            "directory": str(self.directory / f"cells-{name}"), **more,
        }  # fmt: skip
        env = {**os.environ, "HARNESS_TEST": str(self.directory)}
        output = (self.directory / f"output-{name}").open("ab")
        with output:
            process = subprocess.Popen(
                [*before, sys.executable, str(PROGRAM), "worker", json.dumps(given)], env=env,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            for pid in (process.pid, *self.cells(name)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def cells(self, name: str) -> list[int]:
        """Return the processes of a worker's cells."""
        word = str(self.directory / f"cells-{name}")
        found = subprocess.run(["pgrep", "-f", f"cell .*{word}"], capture_output=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def submit(self, to: Dispatcher, name: str, **order: Any) -> Future[Report]:
        makes = order.get("makes", "")
        job = Job(name, 1.0, order.pop("cores", 1.0), GIB, makes=makes, source=makes and "tree",
                  kernel=order.get("kernel", ""), alone=order.pop("alone", False))  # fmt: skip
        document = {"version": VERSION, "commands": False, "name": name, "log": str(self.log)}
        document["kind"] = "kernel" if makes else "cell"
        return to.submit(job, {**document, **order})

    def said(self, word: str) -> list[list[str]]:
        """Return the name, the host and the lease of each line of the log with a word."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [rest for first, *rest in lines if first == word]

    def wait_for_starts(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.said("start")) < count:
            assert time.monotonic() < deadline
            time.sleep(GLANCE)

    def states(self) -> Counter[str]:
        return Counter(str(state) for (state,) in self.group.rows("SELECT state FROM leases"))

    def wait_until_idle(self) -> None:
        """Wait until no lease runs, and no order is being taken or waits."""
        self.group.wait_for(
            "SELECT (SELECT count(*) FROM leases WHERE state IN ('queued', 'running')) + "
            "(SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
            lambda left: left == 0,
        )


def answer(future: Future[Report]) -> str:
    report = future.result(PATIENCE)
    assert report.document["kind"] == "done", report
    return str(report.document["document"]["answer"])
