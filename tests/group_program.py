"""Programs of a group for tests: a worker, and cells that sleep instead of booting a guest.

    python group_program.py worker JSON
    python group_program.py cell URL DIRECTORY

A cell appends a line to the file ``log`` of its order when it starts, and when it ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.group.celldirectory import CellDirectory, done
from harness.group.cellprocess import beating, report_result
from harness.group.placement import HostOffer
from harness.group.reports import HostReports
from harness.group.worker import Worker, WorkerHost
from harness.history.migrate import newest_schema
from harness.history.url import DatabaseUrl
from harness.host.clock import HostClock
from harness.host.process import HostRunner

VERSION = "made"

GIB = 1 << 30


def worker(given: dict[str, Any]) -> None:
    """Work as ``given`` says, until SIGTERM."""
    url = DatabaseUrl.parse(given["url"])
    offer = HostOffer(given["name"], given.get("cores", 2.0), 8 * GIB, builds=True)
    offer = replace(offer, commands=given.get("commands", False))
    host = WorkerHost(
        url, offer, given.get("version", VERSION), given.get("schema") or newest_schema(), "",
        Path(given["directory"]), (sys.executable, __file__, "cell", given["url"]),
        dict(os.environ), lambda: (), beat=1.0,
    )  # fmt: skip
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())

    def note(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    Worker(host, HostRunner(), HostClock(), note, leaving).run()


def cell(url: DatabaseUrl, directory: Path) -> None:
    """Carry out an order: sleep, and answer."""
    own = CellDirectory(directory)
    envelope = own.order() or {}
    order, host = envelope["order"], envelope["host"]

    def say(word: str) -> None:
        with Path(order["log"]).open("a") as log:
            log.write(f"{word} {order['name']} {host} {own.lease}\n")

    say("start")
    if order.get("dies_on") == host:
        raise SystemExit("it was not to be")
    with beating(HostReports(url, host), own.lease, seconds=1.0):
        time.sleep(order.get("seconds", 0.0))
        if gate := order.get("gate"):
            while not Path(gate).exists():
                time.sleep(0.05)
        failed = order.get("fails_on") == host
        answer = {"answer": order["name"], "kernel": order.get("makes", "")}
        own.write_result(done(answer, host_failed=failed), b"console of " + order["name"].encode())
    say("end")
    report_result(HostReports(url, host), own, HostClock())


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(json.loads(sys.argv[2]))
    else:
        cell(DatabaseUrl.parse(sys.argv[2]), Path(sys.argv[3]))
