"""Boots of the built-in guest on a host that stops QEMU at random: how many verdicts are wrong.

As many busy processes as ``HARNESS_LOAD`` says (20) run beside; every QEMU is stopped and continued
at random. Three of ten boots are of a guest that hangs every other time. ``HARNESS_BOOTS`` (400)
are counted. Wrong is ``booted`` for one that hung, and exit status 1 for one that did not.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from command import SECONDS, Home

pytestmark = pytest.mark.guest

BOOTS = int(os.environ.get("HARNESS_BOOTS", "400"))
LOAD = int(os.environ.get("HARNESS_LOAD", "20"))
BATCH = 5
AT_ONCE = 3

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg", "--timeout", "10", "--json")
HANGS = ("--tunable", "harness.plant=hang")
LONGEST_STOP = 6.0


@pytest.fixture
def busy_host() -> Iterator[None]:
    """Processes that compute and do nothing else."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(LOAD)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


class Stopper:
    """Stops a QEMU of that home now and then, for a random time."""

    def __init__(self, home: Home, seed: int) -> None:
        self._home = home
        self._random = random.Random(seed)
        self._over = threading.Event()
        self.stops = 0

    def run(self) -> None:
        while not self._over.wait(self._random.uniform(0.0, 0.5)):
            for qemu in self._qemus():
                if self._random.random() < 0.5:
                    threading.Thread(target=self._stop, args=(qemu,), daemon=True).start()

    def _qemus(self) -> list[psutil.Process]:
        found = []
        for process in self._home.processes():
            with contextlib.suppress(psutil.Error):
                if process.name().startswith("qemu") and process.status() != "stopped":
                    found.append(process)
        return found

    def _stop(self, qemu: psutil.Process) -> None:
        with contextlib.suppress(psutil.Error):
            self.stops += 1
            qemu.send_signal(signal.SIGSTOP)
            time.sleep(self._random.choice((0.05, 0.3, 1.0, 3.0, LONGEST_STOP)))
        with contextlib.suppress(psutil.Error):
            qemu.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._over.set()


@contextlib.contextmanager
def stopping(home: Home) -> Iterator[Stopper]:
    stopper = Stopper(home, seed=1)
    thread = threading.Thread(target=stopper.run)
    thread.start()
    try:
        yield stopper
    finally:
        stopper.end()
        thread.join()


def batches() -> list[tuple[bool, int]]:
    """Whether they hang, and how many: three of ten are of the guest that does every other time."""
    chosen = random.Random(2)
    hang = [chosen.random() < 0.3 and chosen.random() < 0.5 for _ in range(BOOTS)]
    return [
        (kind, min(BATCH, count - first))
        for kind, count in ((True, sum(hang)), (False, BOOTS - sum(hang)))
        for first in range(0, count, BATCH)
    ]


def outcomes(home: Home, hangs: bool, count: int) -> list[str]:
    """The outcome of each; ``host`` for the host's failure."""
    said = home.run(*BOOT, *(HANGS if hangs else ()), "--repeat", str(count))
    cells = json.loads(said.stdout)["cells"]
    found = [cell["verdict"]["outcome"] if cell["verdict"] else "host" for cell in cells]
    assert len(found) == count, said.stderr
    return found


def test_a_harness_that_was_stopped_has_not_listened(shared_home: Home) -> None:
    """What the guest wrote meanwhile counts, and not the time that it took."""
    words = ("boot", "-v", "--source", "embedded", "--accelerator", "tcg", "--timeout", "3")
    with shared_home.started(*words) as running:
        running.wait_for_words("start at")
        running.popen.send_signal(signal.SIGSTOP)
        time.sleep(5.0)
        running.popen.send_signal(signal.SIGCONT)
        assert running.popen.wait(SECONDS) == 0, running.said.read_text()


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.usefixtures("busy_host")
def test_no_verdict_is_wrong_while_qemu_is_stopped_and_starved(shared_home: Home) -> None:
    shared_home.run(*BOOT)
    work = batches()
    random.Random(3).shuffle(work)
    seen: Counter[tuple[str, str]] = Counter()
    with stopping(shared_home) as stopper, ThreadPoolExecutor(AT_ONCE) as pool:
        for (hangs, _), found in zip(
            work, pool.map(lambda each: outcomes(shared_home, *each), work), strict=True
        ):
            seen.update(("hung" if hangs else "good", outcome) for outcome in found)
        load = os.getloadavg()[0]
    print(f"load {load:.1f}, {stopper.stops} stops: {dict(seen)}")  # noqa: T201
    assert stopper.stops > 0
    wrong = {
        (guest, outcome): count
        for (guest, outcome), count in seen.items()
        if outcome not in {"host", "unverified", "hang" if guest == "hung" else "booted"}
    }
    assert wrong == {}
