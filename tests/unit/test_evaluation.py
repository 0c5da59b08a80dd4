"""What a boot comes to: its verdict, its proof, its files; and guests that are left running."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_guests import made_kernel, plan
from proofs import BANNER, EVIDENCE, PANIC, events_of, report

from harness.boot.evaluation import CONSOLE_LOG, Booted, evaluate, with_cut_console
from harness.boot.leaving import leave
from harness.boot.listen import Heard
from harness.console.stages import Stage
from harness.guest.topology import Topology
from harness.host.loglimits import LimitedLog, LogLimits
from harness.host.process import HostRunner
from harness.outcome import Ending, Outcome
from harness.verification import Evidence


def evaluated(
    directory: Path, lines: Sequence[str], evidence: Evidence = EVIDENCE, nodes: int = 1
) -> Booted:
    events = events_of(lines)
    heard = Heard(Stage.KERNEL, events, [0.5] * len(events), {"kernel": 0.1})
    (directory / CONSOLE_LOG).write_text("\n".join(("---<<BOOT>>---", *lines)))
    return evaluate(
        made_kernel(directory), plan(nodes), heard, Ending.EXITED, 2.0, directory, HostRunner(),
        evidence,
    )  # fmt: skip


def test_a_proven_boot_counts_and_its_events_are_kept(tmp_path: Path) -> None:
    booted = evaluated(tmp_path, [*BANNER, *report(), "Uptime: 2s"])
    assert booted.verdict.outcome is booted.shown.outcome is Outcome.BOOTED
    assert booted.report is not None
    assert booted.disagreements == ()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {each["seconds"] for each in events} == {0.5}
    assert "ProbeRecord" in {each["event"] for each in events}


def test_a_boot_without_proof_is_unverified_and_still_shown(tmp_path: Path) -> None:
    booted = evaluated(tmp_path, [*BANNER, *report("f" * 16)])
    assert booted.verdict.outcome is Outcome.UNVERIFIED
    assert booted.report is None


def test_a_panic_has_its_lines_of_the_console(tmp_path: Path) -> None:
    booted = evaluated(tmp_path, [*BANNER, *PANIC])
    assert booted.verdict.outcome is Outcome.PANIC
    assert any("out of green ideas" in line for line in booted.console)


def test_a_kernel_that_sees_another_machine_disagrees(tmp_path: Path) -> None:
    lines = [*BANNER, *report()]
    booted = evaluated(tmp_path, lines, nodes=2)
    assert booted.disagreements
    assert booted.verdict.outcome is not Outcome.BOOTED


def test_where_the_machine_is_not_proven_a_difference_is_a_doubt(tmp_path: Path) -> None:
    evidence = Evidence(
        EVIDENCE.nonce, EVIDENCE.facts, Topology.even(1), (), unproven=("the machine",)
    )
    booted = evaluated(tmp_path, [*BANNER, *report()], evidence, nodes=2)
    assert booted.disagreements == ()
    assert booted.verification.unproven


def test_a_console_that_was_cut_is_a_warning_of_the_verdict(tmp_path: Path) -> None:
    log = LimitedLog(lambda _: None, tmp_path / CONSOLE_LOG, LogLimits(keep=1024, end=1 << 20))
    log.write(bytes(3072))
    booted = with_cut_console(evaluated(tmp_path, [*BANNER, *PANIC]), log)
    (warning,) = booted.verdict.warnings
    assert warning in booted.shown.warnings
    assert "3.0 KiB" in warning
    assert "last 2.0 KiB are not in console.log" in warning


class Spawned:
    """Notes what is spawned; see ``Runner``."""

    def __init__(self) -> None:
        self.argv: list[list[str]] = []

    def spawn(self, words: Sequence[object], **how: Any) -> None:
        assert how["outlives_us"]
        assert how["pass_fds"]
        self.argv.append([str(word) for word in words])


@pytest.mark.parametrize("controlled", [True, False])
def test_a_guest_that_is_left_has_a_relay_and_a_keeper_of_its_monitor(
    tmp_path: Path, *, controlled: bool
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        where = SimpleNamespace(
            control=ours if controlled else None, process=SimpleNamespace(pid=7)
        )
        left: list[object] = []
        paths = {name: tmp_path / name for name in ("console", "entrance", "door", "stub")}
        claim = SimpleNamespace(
            guest=SimpleNamespace(**paths), keep=lambda *words: left.append(words)
        )
        guest = SimpleNamespace(pid=7, leave=lambda: where)
        runner, log = Spawned(), LimitedLog(lambda _: None, tmp_path / "log", LogLimits())
        kept = leave(
            cast("Any", guest), cast("Any", theirs), log, cast("Any", claim), 22, LogLimits(),
            cast("Any", runner),
        )  # fmt: skip
    assert kept
    assert left == [(where, 22)]
    programs = [Path(word).name for words in runner.argv for word in words if ".py" in word]
    assert programs == (["relay.py", "controlkeeper.py"] if controlled else ["relay.py"])


def test_a_guest_that_has_ended_is_not_left(tmp_path: Path) -> None:
    guest = SimpleNamespace(pid=None, leave=lambda: None)
    tap = SimpleNamespace(fileno=lambda: 0)
    log, runner = LimitedLog(lambda _: None, tmp_path / "log", LogLimits()), Spawned()
    nothing = cast("Any", None)
    assert not leave(
        cast("Any", guest), cast("Any", tap), log, nothing, 0, LogLimits(), cast("Any", runner)
    )
    assert runner.argv == []
