"""What is told of progress where nothing can be drawn."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from harness.cli.messages import Messages
from harness.cli.progress import LiveRows
from harness.host.clock import ManualClock

LOG = Path("/cache/trees/0123/logs/HARNESS.log")


def told(capsys: pytest.CaptureFixture[str], *, verbose: bool = False) -> list[str]:
    clock = ManualClock()
    with LiveRows(Messages(quiet=False), clock, verbose=verbose) as rows:
        row = rows.row("build kernel kasan")
        row.stage("source")
        clock.sleep(2)
        row.stage("kernel", LOG)
        clock.sleep(60)
        rows.done("build kernel kasan", "ready", good=True)
    return capsys.readouterr().err.splitlines()


def test_a_stage_that_lasts_is_told_with_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    lasting = f"build kernel kasan: kernel at 2.0 s, log {LOG}"
    ready = "build kernel kasan: ready (62.0 s)"
    assert told(capsys) == [lasting, ready]
    assert told(capsys, verbose=True) == ["build kernel kasan: source at 0.0 s", lasting, ready]


@pytest.mark.parametrize(("term", "drawn"), [("dumb", False), ("xterm", True)])
def test_nothing_is_drawn_on_a_dumb_terminal(
    term: str, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", term)
    with os.fdopen(theirs, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        assert Messages(quiet=False).is_terminal is drawn
        assert not Messages(quiet=True).is_terminal
    os.close(ours)


@pytest.mark.parametrize(
    ("error", "word"), [(KeyboardInterrupt(), "interrupted"), (ValueError(), "failed")]
)
def test_what_a_signal_ends_is_interrupted_and_has_not_failed(
    error: BaseException, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with LiveRows(Messages(quiet=False), ManualClock(), verbose=False) as rows:
        rows.row("build")
        rows.failed("build", error)
    assert capsys.readouterr().err == f"build: {word} (0.0 s)\n"
