"""Signals at random moments: the right exit code, no traceback, and nothing that runs on.

The moments come from a fixed seed. Wherever a signal falls, before the first import or after the
last line, the same must hold, so nothing depends on how fast this host is.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import GLANCE, Home, Running
from embedded_history import usual_history

pytestmark = pytest.mark.guest

SEED = 20240229
MOMENTS = 60
IN_CI = 5

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)

#: Seconds within which a signal comes: as long as these commands take on a host at rest.
LATEST = 4.0

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg")
BISECT = ("bisect", "--source", "{history}", "--good", "first", "--bad", "last", "--numa", "2",
          "--accelerator", "tcg")  # fmt: skip

COMMANDS = {
    BOOT: 0,
    (*BOOT, "--mutant", "drop-commit", "--numa", "2"): 1,
    (*BOOT, "--keep"): 0,
    (*BOOT, "--repeat", "3", "--json"): 0,
    ("build", "--source", "embedded", "--kasan"): 0,
    ("compare", "--source", "embedded", "--accelerator", "tcg", "--numa", "1,2"): 0,
    ("check", "--source", "embedded", "--accelerator", "tcg", "--seed", "1-2"): 0,
    ("mutants", "--source", "embedded", "--accelerator", "tcg"): 0,
    BISECT: 0,
    ("model", "explore"): 0,
    ("doctor",): 0,
}
"""Commands, each with the exit code that it has if the signal comes too late."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A signal that a command gets, so many seconds after its start."""

    number: int
    words: tuple[str, ...]
    signum: signal.Signals
    seconds: float

    def __str__(self) -> str:
        return f"{self.number}-{self.words[0]}-{self.signum.name}-{self.seconds:.2f}"


def moments() -> list[Moment]:
    chance = random.Random(SEED)
    return [
        Moment(number, list(COMMANDS)[number % len(COMMANDS)], chance.choice(SIGNALS),
               chance.uniform(0, LATEST))
        for number in range(MOMENTS)
    ]  # fmt: skip


EACH = [
    pytest.param(moment, id=str(moment), marks=[pytest.mark.long] * (moment.number >= IN_CI))
    for moment in moments()
]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, _ = usual_history(tmp_path_factory.mktemp("signals") / "guest")
    return made.directory


@pytest.mark.parametrize("moment", EACH)
def test_signal(shared_home: Home, history: Path, moment: Moment) -> None:
    words = [word.format(history=history) for word in moment.words]
    before = shared_home.empty_runs()
    with shared_home.started(*words) as running:
        if moment.signum is signal.SIGINT:  # Python's own start prints a traceback
            wait_until_heeded(running)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.popen.wait(moment.seconds)
        code = running.end_by(moment.signum)
        said = running.said.read_text()
    too_late = code == COMMANDS[moment.words]
    if "--keep" in words:  # from when it is in the registry on, the guest outlives the harness
        assert shared_home.run("stop", "--all").code == 0
    shared_home.wait_until_nothing_runs()
    assert too_late or code in {128 + moment.signum, -moment.signum}, said
    assert "Traceback" not in said
    assert "bug in the harness" not in said
    assert shared_home.held_locks() == []
    if code == -signal.SIGKILL:
        shared_home.run("doctor", "--repair")
    else:
        # A bisection goes on in its own.
        left = [run for run in shared_home.empty_runs() if "bisect" not in run.name]
        assert set(left) <= set(before)
    assert shared_home.leftovers() == []


def wait_until_heeded(running: Running) -> None:
    """Until the harness has taken the signals over from Python."""
    status = Path(f"/proc/{running.popen.pid}/status")
    while running.popen.poll() is None:
        caught = status.read_text().partition("SigCgt:")[2].split()
        if caught and int(caught[0], 16) >> (signal.SIGALRM - 1) & 1:
            return
        time.sleep(GLANCE)
