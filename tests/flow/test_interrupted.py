"""Ctrl-C, SIGTERM and SIGKILL at each stage: nothing is left running, and the next run works.

The stages before a guest is there are held open by programs that never end, which come first
in PATH or in a tree; a guest that says nothing holds the others open.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import Home, Running, script
from small_tree import git_tree

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)

#: QEMU's own answers until a guest is to be started, then silence.
SILENT_QEMU = 'case "$*" in *--version*) echo QEMU emulator version 9;; *) exec sleep 1000;; esac'
SILENT_GIT = 'case "$*" in *ls-files*) exec sleep 1000;; *) exec {git} "$@";; esac'
GUEST_RUNS = "none-numa1: kernel at"
HANG = ("boot", "--source", "embedded", "-v", "--tunable", "harness.plant=hang")


@dataclass(frozen=True)
class Stage:
    """A stage that lasts.

    Args:
        words: the command.
        path: makes the PATH to run it with, out of a directory; None for the usual one.
        reached: what is said once the stage has begun.
    """

    words: Callable[[Path], tuple[str, ...]]
    reached: str
    path: Callable[[Path], str] | None = None


def _tree(configure: str) -> Callable[[Path], tuple[str, ...]]:
    return lambda directory: (
        "build", "-v", "--source", str(git_tree(directory / "tree", configure=configure)),
    )  # fmt: skip


def _silent_git(directory: Path) -> str:
    silent = SILENT_GIT.format(git=shutil.which("git"))
    return script(directory / "bin", "git", silent)


STAGES = {
    "accelerator": Stage(
        lambda _: ("boot", "--source", "embedded"),
        "",
        lambda directory: script(directory / "bin", "qemu-system-x86_64", SILENT_QEMU),
    ),
    "source": Stage(_tree(""), "source at", _silent_git),
    "make": Stage(_tree("sleep 1000 & sleep 1000"), "make at"),
    "kernel": Stage(lambda _: ("build", "-v", "--source", "embedded", "--kasan"), "kernel at"),
    "start": Stage(
        lambda _: ("boot", "-v", "--source", "embedded", "--accelerator", "tcg"),
        "start at",
        lambda directory: script(directory / "bin", "qemu-system-x86_64", SILENT_QEMU),
    ),
    "guest": Stage(lambda _: (*HANG, "--accelerator", "tcg"), GUEST_RUNS),
}


def interrupted(home: Home, running: Running, signum: signal.Signals) -> None:
    """End it, and look what is left."""
    code = running.end_by(signum)
    said = running.said.read_text()
    assert code == (-signum if signum == signal.SIGKILL else 128 + signum), said
    home.wait_until_nothing_runs()
    assert home.held_locks() == []
    assert "Traceback" not in said
    if signum != signal.SIGKILL:
        assert said.endswith("harness: interrupted\n")
        assert home.leftovers() + home.empty_runs() == []


#: SIGTERM takes the way of Ctrl-C, so that once is enough for CI; so is a wait for git or make.
IN_CI = {"guest": SIGNALS, "make": (signal.SIGKILL,), "source": (signal.SIGINT,)}

EACH_WAY = [
    pytest.param(
        stage, signum, id=f"{name}-{signum.name}",
        marks=[pytest.mark.long] * (signum not in IN_CI.get(name, (signal.SIGINT, signal.SIGKILL))),
    )
    for name, stage in STAGES.items()
    for signum in SIGNALS
]  # fmt: skip


@pytest.mark.parametrize(("stage", "signum"), EACH_WAY)
def test_nothing_is_left_of(
    home: Home, tmp_path: Path, stage: Stage, signum: signal.Signals
) -> None:
    env = {"PATH": stage.path(tmp_path)} if stage.path else {}
    with home.started(*stage.words(tmp_path), **env) as running:
        if stage.reached:
            running.wait_for_words(stage.reached)
        else:
            while len(home.processes()) < 3:  # the harness, its guard of QEMU, and QEMU
                assert running.popen.poll() is None, running.said.read_text()
        interrupted(home, running, signum)
    after = home.run("boot", "--source", "embedded", "--accelerator", "tcg")
    assert (after.code, home.scratch_directories()) == (0, [])


def test_doctor_removes_what_sigkill_left(home: Home) -> None:
    with home.started(*HANG, "--accelerator", "tcg") as running:
        running.wait_for_words(GUEST_RUNS)
        interrupted(home, running, signal.SIGKILL)
    assert home.leftovers() != []
    repaired = home.run("doctor", "--repair")
    assert "Traceback" not in repaired.stderr
    assert home.leftovers() == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_several_guests_end_together(home: Home, signum: signal.Signals) -> None:
    words = ("compare", "--accelerator", "tcg", "--numa", "2", *HANG[1:])
    with home.started(*words) as running:
        running.wait_for_words("after-none-numa2: kernel at")
        interrupted(home, running, signum)


def test_impatience_leaves_nothing_either(home: Home) -> None:
    """Ctrl-C again, and again, while the first is being obeyed."""
    with home.started(*HANG, "--accelerator", "tcg") as running:
        running.wait_for_words(GUEST_RUNS)
        for _ in range(20):
            running.popen.send_signal(signal.SIGINT)
        interrupted(home, running, signal.SIGINT)


def test_console_of_an_interrupted_boot_stays(home: Home) -> None:
    with home.started(*HANG, "--accelerator", "tcg") as running:
        running.wait_for_words(GUEST_RUNS)
        (log,) = home.runs.glob("*/*/console.log")
        while b"NOT FreeBSD" not in log.read_bytes():
            assert running.popen.poll() is None
        running.end_by(signal.SIGINT)
    assert b"NOT FreeBSD" in log.read_bytes()


def test_two_at_once_on_one_tree_wait_for_each_other_and_say_so(home: Home, tmp_path: Path) -> None:
    words = _tree("sleep 1000")(tmp_path)
    with home.started(*words) as first:
        first.wait_for_words("make at")
        with home.started(*words) as second:
            second.wait_for_words(
                f"waiting for process {first.popen.pid}, which is building from the same tree\n"
            )
            assert "make at" not in second.said.read_text()
            first.end_by(signal.SIGKILL)
            second.wait_for_words("make at")
            interrupted(home, second, signal.SIGINT)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_who_waits_can_be_interrupted(home: Home, tmp_path: Path, signum: signal.Signals) -> None:
    words = _tree("sleep 1000")(tmp_path)
    with home.started(*words) as first:
        first.wait_for_words("make at")
        with home.started(*words) as second:
            second.wait_for_words("waiting for process")
            second.end_by(signum)
        assert first.popen.poll() is None
        interrupted(home, first, signal.SIGTERM)
