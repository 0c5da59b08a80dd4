"""Programs of a group for tests: a worker, and cells that sleep instead of booting a guest.

    python group_program.py worker JSON
    python group_program.py cell URL DIRECTORY
    python group_program.py bare DIRECTORY

A kernel is a file of some parts in a directory of the host's, which is really sent and fetched. A
cell appends a line to the file ``log`` of its order when it starts, and when it ends.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.group.celldirectory import CellDirectory, Lack, done, failed
from harness.group.cellprocess import beating, report_result
from harness.group.files import GroupFiles, NotSentError, WrongFileError
from harness.group.placement import HostOffer
from harness.group.reports import HostReports
from harness.group.worker import Worker, WorkerHost
from harness.history.migrate import newest_schema
from harness.history.url import DatabaseUrl
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.seal import Seal, seal_file

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
        is_failed = order.get("fails_on") == host
        result = kernel_result(order, host, url, directory) or done(
            {"answer": order["name"]}, host_failed=is_failed
        )  # fmt: skip
        own.write_result(result, b"console of " + order["name"].encode())
    say("end")
    report_result(HostReports(url, host), own, HostClock())


def kernel_result(
    order: dict[str, Any], host: str, url: DatabaseUrl, directory: Path
) -> dict[str, Any] | None:
    """Build, send or receive a kernel, and return the report; None for a cell that has its own."""
    kernels = directory.parent.parent / f"kernels-{host}"
    kernels.mkdir(exist_ok=True)
    name = order.get("kernel") or order.get("makes", "")
    files = GroupFiles(url, host, HostClock())
    answer: dict[str, Any] = {"answer": order["name"]}
    try:
        match order.get("kind"):
            case "kernel":
                (kernels / name).write_bytes(random.Random(name).randbytes(5 << 19))
                answer["held"] = asdict(seal_file(kernels / name, name))
                if order.get("lies_on") == host:
                    (kernels / name).write_bytes(b"x" * (5 << 19))
            case "send":
                files.send([(kernels / name, Seal(**order["held"]))])
            case "receive":
                files.fetch(order["sender"], Seal(**order["held"]), kernels).rename(kernels / name)
            case _ if name and not (kernels / name).exists():
                return failed("the kernel is not here", Lack.KERNEL)
            case _:
                return None
    except NotSentError as error:
        return failed(error.message, Lack.PARTS)
    except WrongFileError as error:
        return failed(error.message, Lack.RIGHT_FILE)
    finally:
        files.close()
    return done(answer, host_failed=False)


def bare(directory: Path) -> None:
    """Do what a cell that answers at once does, without a group."""
    own = CellDirectory(directory)
    order = (own.order() or {})["order"]
    with Path(order["log"]).open("a") as log:
        log.write(f"bare {order['name']}\n")
    own.write_result(done({"answer": order["name"]}, host_failed=False), b"console")


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(json.loads(sys.argv[2]))
    elif sys.argv[1] == "bare":
        bare(Path(sys.argv[2]))
    else:
        cell(DatabaseUrl.parse(sys.argv[2]), Path(sys.argv[3]))
