"""Nights of the built-in guest on a host that fails: what they tell is true, and nothing is lost.

Each night is real: kernels are built, guests run in QEMU. In most nights the host fails at a random
moment: QEMU is stopped for a while or for ever, the disk of records and history is full, QEMU runs
out of memory and is killed by the kernel, or the harness is killed. A night that did not end goes
on without the fault. ``HARNESS_NIGHTS`` (100) are counted.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from command import PROGRAM, Home
from embedded_history import EmbeddedHistory, night_plan
from own_mounts import mounts_as_root

from harness.history.database import Database
from harness.history.nights import NightReader
from harness.nightly.night import JudgedNight, News, NewsKind, NightState
from harness.nightly.result import Purpose

pytestmark = [pytest.mark.guest, pytest.mark.long, mounts_as_root]

NIGHTS = int(os.environ.get("HARNESS_NIGHTS", "100"))
SEED = int(os.environ.get("HARNESS_SEED", "1"))

#: Runs of one night at most: one with a fault, and those that go on.
RUNS = 4

DISK = "64m"

CELLS = {"boot-none-numa1", "boot-none-numa2"}


@dataclass
class Host:
    """A home whose state is on a small disk, in a mount namespace of its own.

    Args:
        home: the home.
        holder: the process that keeps the namespace.
        memory: a memory control group for what is to run out of memory; None: there is none.
    """

    home: Home
    holder: int
    memory: Path | None

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a harness."""
        errors = (self.home.directory / "errors").open("ab")
        with errors:
            return subprocess.Popen(
                ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", *PROGRAM, *words],
                env=self.home.env, cwd="/", stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip

    @property
    def state(self) -> Path:
        """The directory of records and history, as seen from outside of the namespace."""
        return Path(f"/proc/{self.holder}/root{self.home.directory}/state")

    def qemus(self) -> list[psutil.Process]:
        return [each for each in self.home.processes() if _name(each).startswith("qemu")]

    def fill(self) -> None:
        """Fill the disk."""
        with (self.state / "ballast").open("wb", buffering=0) as ballast:
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(1 << 16))
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(64))

    def empty(self) -> None:
        (self.state / "ballast").unlink(missing_ok=True)


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


@pytest.fixture
def host(home: Home) -> Iterator[Host]:
    state = home.directory / "state"
    state.mkdir()
    mount = f'mount -t tmpfs -o size={DISK},mode=700 none "{state}"'
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", f"{mount}; echo; exec sleep 1000000"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.read(1) == b"\n"
    memory = Path(f"/sys/fs/cgroup/memory/harness-{os.getpid()}")
    try:
        memory.mkdir()
        (memory / "memory.limit_in_bytes").write_text("1M")
    except OSError:
        memory = Path()
    try:
        yield Host(home, holder.pid, memory if memory.name else None)
    finally:
        holder.kill()
        holder.wait()
        if memory.name:
            with contextlib.suppress(OSError):
                memory.rmdir()


Fault = Callable[[Host, "subprocess.Popen[bytes]", random.Random], None]


def no_fault(host: Host, harness: subprocess.Popen[bytes], chance: random.Random) -> None:
    """The host does not fail."""


def stop(host: Host, harness: subprocess.Popen[bytes], chance: random.Random) -> None:
    """QEMU is stopped for a while."""
    _signal(host, signal.SIGSTOP)
    time.sleep(chance.uniform(0.2, 4.0))
    _signal(host, signal.SIGCONT)


def stop_for_ever(host: Host, harness: subprocess.Popen[bytes], chance: random.Random) -> None:
    """QEMU is stopped, and nobody continues it."""
    _signal(host, signal.SIGSTOP)


def full_disk(host: Host, harness: subprocess.Popen[bytes], chance: random.Random) -> None:
    """The disk of records and history becomes full."""
    host.fill()


def out_of_memory(host: Host, harness: subprocess.Popen[bytes], chance: random.Random) -> None:
    """QEMU gets no more memory, and the kernel kills it."""
    for process in host.qemus():
        with contextlib.suppress(OSError, psutil.Error):
            if host.memory is None:
                process.kill()
            else:
                (host.memory / "cgroup.procs").write_text(str(process.pid))


def kill(host: Host, harness: subprocess.Popen[bytes], chance: random.Random) -> None:
    """The harness is killed."""
    harness.kill()


FAULTS: dict[Fault, int] = {
    no_fault: 4, stop: 5, stop_for_ever: 1, full_disk: 3, out_of_memory: 4, kill: 5,
}  # fmt: skip


def _signal(host: Host, signum: signal.Signals) -> None:
    for process in host.qemus():
        with contextlib.suppress(psutil.Error):
            process.send_signal(signum)


@dataclass
class Tally:
    """What came of the nights."""

    news: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    planted: int = 0
    named: int = 0
    mended: int = 0
    fixed: int = 0
    runs: int = 0
    sizes: list[int] = field(default_factory=list)
    memory: int = 0

    def __str__(self) -> str:
        return (
            f"{len(self.sizes)} nights in {self.runs} runs; faults {dict(self.faults)}; exit codes "
            f"{dict(self.codes)}; news {dict(self.news)}; culprits {self.named} of {self.planted}; "
            f"fixes {self.fixed} of {self.mended}; records and history "
            f"{self.sizes[:1]} to {self.sizes[-1:]} KiB; peak memory of the harness {self.memory} "
            f"MiB; wrong: {self.wrong}"
        )


@dataclass
class RealNights:
    """Nights of a tree that is broken and mended now and then.

    Args:
        host: the host.
        made: the tree.
        plan: the plan's file.
        chance: of all that is random.

    Attributes:
        broken: the commit that broke the tip; empty if it is whole.
        unfixed: the tip is whole again, but no night has told so.
        seconds: duration of a night without a fault.
    """

    host: Host
    made: EmbeddedHistory
    plan: Path
    chance: random.Random
    tally: Tally = field(default_factory=Tally)
    broken: str = ""
    unfixed: bool = False
    seconds: float = 8.0

    def run(self, count: int) -> Tally:
        self._night(no_fault)
        for _ in range(count):
            self._commits()
            fault = self.chance.choices(list(FAULTS), list(FAULTS.values()))[0]
            self._night(fault)
            self._judge(fault)
        return self.tally

    def _commits(self) -> None:
        """Add the commits of a day: one may break the kernel, or mend it."""
        self.made.document()
        action = self.chance.random()
        if action < 0.3 and not self.broken and not self.unfixed:
            self.broken = self.made.break_it()
            self.tally.planted += 1
        elif action < 0.5 and self.broken:
            self.made.mend_it()
            self.broken, self.unfixed = "", True
            self.tally.mended += 1
        if self.chance.random() < 0.5:
            self.made.document()

    def _night(self, fault: Fault) -> None:
        """Run a night with a fault, and go on with it until it ends."""
        self.tally.faults[fault.__name__] += 1
        before = self._last()[0]
        for run in range(RUNS):
            self.tally.runs += 1
            began = time.monotonic()
            harness = self.host.start("nightly", "run", str(self.plan))
            trouble = threading.Thread(target=self._trouble, args=(fault, harness))
            if run == 0 and fault is not no_fault:
                trouble.start()
            code = harness.wait(500)
            if trouble.ident is not None:
                trouble.join()
            self.host.empty()
            self.host.home.wait_until_nothing_runs()
            self.tally.codes[f"{fault.__name__} {code}"] += 1
            if fault is no_fault:
                self.seconds = time.monotonic() - began
            number, state = self._last()
            if number > before and state != NightState.RUNNING.value:
                return
        self.tally.wrong.append(f"after {fault.__name__} the night did not end in {RUNS} runs")

    def _trouble(self, fault: Fault, harness: subprocess.Popen[bytes]) -> None:
        """Let the host fail at a random moment of a night, or when QEMU runs."""
        moment = time.monotonic() + self.chance.uniform(0.0, 0.8 * self.seconds)
        while harness.poll() is None and time.monotonic() < moment:
            self._weigh(harness)
            time.sleep(0.1)
        wants_qemu = fault in (stop, stop_for_ever, out_of_memory)
        while harness.poll() is None and wants_qemu and not self.host.qemus():
            time.sleep(0.02)
        if harness.poll() is None:
            fault(self.host, harness, self.chance)

    def _weigh(self, harness: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(psutil.Error):
            mib = psutil.Process(harness.pid).memory_info().rss >> 20
            self.tally.memory = max(self.tally.memory, mib)

    @contextlib.contextmanager
    def _history(self) -> Iterator[Path]:
        """Yield a copy of the history: SQLite does not open files of another namespace."""
        with tempfile.TemporaryDirectory() as directory:
            for path in (self.host.state / "harness" / "nightly").glob("made.sqlite*"):
                shutil.copy(path, directory)
            yield Path(directory, "made.sqlite")

    def _last(self) -> tuple[int, str]:
        """Return number and state of the newest night; 0 if there is none."""
        with (
            self._history() as path,
            contextlib.closing(sqlite3.connect(path)) as connection,
        ):
            wanted = "SELECT number, state FROM nights ORDER BY number DESC LIMIT 1"
            with contextlib.suppress(sqlite3.Error):
                return next(connection.execute(wanted), (0, ""))
        return 0, ""

    def _judge(self, fault: Fault) -> None:
        """Compare what a night tells with what is true."""
        with self._history() as path:
            judged = self._nothing_lost(path, fault)
        for news in judged.news:
            self.tally.news[news.kind.value] += 1
            if not self._is_true(news, fault):
                self._wrong(judged, fault, news.text)
        self.unfixed &= any(each.open for each in judged.problems)
        may_be = {1} if self.broken or self.unfixed else {0, 3}
        if judged.night.exit_code not in may_be:
            self._wrong(judged, fault, f"ends with {judged.night.exit_code}")
        if fault is no_fault and self.unfixed:
            self._wrong(judged, fault, "it does not tell the fix")

    def _is_true(self, news: News, fault: Fault) -> bool:
        match news.kind:
            case NewsKind.REGRESSION | NewsKind.REOPENED:
                return bool(self.broken)
            case NewsKind.CULPRIT:
                self.tally.named += news.commit == self.broken
                return news.commit == self.broken
            case NewsKind.FIXED:
                self.tally.fixed += self.unfixed
                return self.unfixed
        return news.kind is NewsKind.HOST and fault is not no_fault

    def _wrong(self, judged: JudgedNight, fault: Fault, what: str) -> None:
        self.tally.wrong.append(f"night {judged.night.number} ({fault.__name__}): {what}")

    def _nothing_lost(self, path: Path, fault: Fault) -> JudgedNight:
        """Return the newest night, if the history is whole."""
        reader = NightReader(Database.open(path), "made")
        judged = reader.judged_night()
        night = judged.night
        numbers = [each.number for each in reader.nights(None)]
        assert numbers == list(range(len(numbers), 0, -1))
        ran = [each for each in judged.results if each.purpose is Purpose.PLANNED]
        for revision in night.revisions:
            cells = {each.slot.cell for each in ran if each.commit == revision.commit}
            assert cells == CELLS, (night.number, fault.__name__)
        for each in judged.results:
            if each.status.tells and each.console:
                assert b"built-in" in reader.console(each.console)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            for (data,) in connection.execute("SELECT data FROM consoles"):
                zlib.decompress(data)
        assert self.host.home.leftovers() == []
        used = sum(path.stat().st_size for path in self.host.state.rglob("*") if path.is_file())
        self.tally.sizes.append(used >> 10)
        return judged


def test_nights_on_a_host_that_fails_are_not_wrong(host: Host, tmp_path: Path) -> None:
    if shutil.which("nsenter") is None:
        pytest.fail("nsenter(1) is missing: apt install util-linux")
    plan, made = tmp_path / "nightly.toml", EmbeddedHistory(tmp_path / "made")
    plan.write_text(night_plan(made.directory, control="4"))
    tally = RealNights(host, made, plan, random.Random(SEED)).run(NIGHTS)
    sys.stdout.write(f"{tally}\n")
    assert tally.wrong == [], str(tally)
    assert tally.named == tally.planted, str(tally)
    assert tally.fixed == tally.mended, str(tally)
