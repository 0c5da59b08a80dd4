"""Workers and their asker, as real processes: what is lost, killed, frozen or cut off.

Cells sleep instead of booting guests; ``test_group_nights.py`` has guests.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from command import GLANCE
from group_asker import Asker, answer
from group_program import VERSION
from machine_group import PATIENCE, MachineGroup, MachineGroupRole
from postgres_server import Server, postgres_server

from harness.group.placement import Job

SILENCE = 15.0
"""Seconds after which a silent host is gone; all report each second."""


@pytest.fixture
def asker(postgres: Server, tmp_path: Path) -> Asker:
    return Asker(MachineGroup(postgres, tmp_path), tmp_path)


def test_jobs_run_beside_each_other_once_each_with_their_kernels(asker: Asker) -> None:
    with asker.worker("a"), asker.worker("b") as b, asker.asking() as dispatcher:
        assert answer(asker.submit(dispatcher, "build", makes="k1")) == "build"
        gate = asker.directory / "gate"
        futures = [
            asker.submit(dispatcher, f"cell{n}", kernel="k1", gate=str(gate)) for n in range(8)
        ]  # fmt: skip
        # The kernel is built, sent and fetched, and both hosts have as many cells as cores.
        asker.wait_for_starts(3 + 4)
        gate.touch()
        assert [answer(each) for each in futures] == [f"cell{n}" for n in range(8)]
        reports = [each.result() for each in futures]
        assert reports[3].console == b"console of cell3"
        starts = Counter(name for name, *_ in asker.said("start"))
        assert {starts[f"cell{n}"] for n in range(8)} == {1}
        assert {each.host for each in reports} == {"a", "b"}
        jobs = Counter(job for (job,) in asker.group.rows("SELECT job FROM leases"))
        assert jobs["build"] == 1, "a kernel is built once, and moved"
        contents = {(asker.directory / f"kernels-{name}" / "k1").read_bytes() for name in "ab"}
        assert len(contents) == 1
        asker.wait_until_idle()
        b.send_signal(signal.SIGTERM)
        assert b.wait(PATIENCE) == 0
    assert asker.states() == {"ended": len(asker.said("start"))}


@pytest.mark.long
def test_a_kernel_that_is_not_what_its_host_announced_is_refused_and_its_host_named(
    asker: Asker,
) -> None:
    with asker.worker("liar"), asker.asking() as dispatcher:
        assert answer(asker.submit(dispatcher, "build", makes="k1", lies_on="liar")) == "build"
        gate = asker.directory / "gate"
        cells = [
            asker.submit(dispatcher, f"cell{n}", kernel="k1", gate=str(gate)) for n in range(6)
        ]  # fmt: skip
        with asker.worker("b"):
            while not any("b did not take a kernel from liar" in note for note in asker.notes):
                time.sleep(GLANCE)
            gate.touch()
            assert [answer(each) for each in cells] == [f"cell{n}" for n in range(6)]
    (note,) = [each for each in asker.notes if "did not take" in each]
    assert "liar sent another k1 than it announced: its SHA-256 differs" in note
    kept = asker.directory / "kernels-b" / "k1"
    assert not kept.exists() or kept.read_bytes() != b"x" * (5 << 19)


def test_a_worker_that_is_to_leave_finishes_what_it_has_and_takes_nothing_more(
    asker: Asker,
) -> None:
    gate = asker.directory / "gate"
    with asker.worker("a") as leaving, asker.asking() as dispatcher:
        first = asker.submit(dispatcher, "first", gate=str(gate))
        asker.wait_for_starts(1)
        leaving.send_signal(signal.SIGTERM)
        asker.group.wait_for("SELECT count(*) FROM hosts WHERE leaving")
        with asker.worker("b"):
            second = asker.submit(dispatcher, "second")
            assert answer(second) == "second"
            gate.touch()
            assert answer(first) == "first"
            assert leaving.wait(PATIENCE) == 0
    assert [host for _, host, _ in asker.said("start")] == ["a", "b"]


def test_a_cell_outlives_its_worker_and_the_next_one_reports_it(asker: Asker) -> None:
    gate = asker.directory / "gate"
    with asker.asking() as dispatcher, asker.worker("a") as killed:
        cell = asker.submit(dispatcher, "cell", gate=str(gate))
        dies = asker.submit(dispatcher, "dies", gate=str(gate))
        asker.wait_for_starts(2)
        killed.kill()
        killed.wait()
        own = asker.cells("a")
        assert len(own) == 2
        os.kill(own[1], signal.SIGKILL)
        with asker.worker("a"), asker.worker("b"):
            asker.group.wait_for("SELECT count(*) FROM leases WHERE state = 'ended'")
            gate.touch()
            assert {answer(cell), answer(dies)} == {"cell", "dies"}
    starts = Counter(name for name, *_ in asker.said("start"))
    assert sorted(starts.values()) == [1, 2], "only the killed one ran again"


def test_cells_of_a_host_that_is_gone_are_placed_anew_and_late_results_set_aside(
    asker: Asker,
) -> None:
    gate = asker.directory / "gate"
    asker.silence = SILENCE
    with asker.asking() as dispatcher, asker.worker("a") as frozen:
        cell = asker.submit(dispatcher, "cell", gate=str(gate))
        asker.wait_for_starts(1)
        stopped = [frozen.pid, *asker.cells("a")]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        with asker.worker("b"):
            asker.wait_for_starts(2)
            gate.touch()
            assert cell.result(PATIENCE).host == "b"
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            asker.group.wait_for("SELECT count(*) FROM leases WHERE state = 'late'")
            assert dispatcher.leases.late() == 1
            # It is taken back.
            again = [asker.submit(dispatcher, f"more{n}", seconds=0.5) for n in range(6)]
            assert {each.result(PATIENCE).host for each in again} == {"a", "b"}
    assert any("a has not reported" in note for note in asker.notes)
    assert asker.states() == {"late": 1, "ended": 7}


def test_an_asker_that_was_killed_finds_what_runs_and_what_ended(asker: Asker) -> None:
    gate = asker.directory / "gate"
    gate.touch()
    with asker.worker("a"):
        with asker.asking() as dispatcher:
            asker.submit(dispatcher, "ended", gate=str(gate)).result(PATIENCE)
            gate.unlink()
            asker.submit(dispatcher, "runs", gate=str(gate))
            asker.wait_for_starts(2)
        with asker.asking() as dispatcher:
            futures = [asker.submit(dispatcher, name, gate=str(gate)) for name in ("ended", "runs")]
            assert answer(futures[0]) == "ended"
            gate.touch()
            assert answer(futures[1]) == "runs"
        asker.wait_until_idle()
    assert len(asker.said("start")) == 2


def test_what_is_cancelled_ends(asker: Asker) -> None:
    with asker.worker("a"):
        with asker.asking() as dispatcher:
            cell = asker.submit(dispatcher, "cell", gate=str(asker.directory / "never"))
            asker.wait_for_starts(1)
            dispatcher.close(cancel=True)
            with pytest.raises(Exception, match="being ended"):
                cell.result(PATIENCE)
        asker.group.wait_for("SELECT count(*) FROM leases WHERE state = 'late'")
        assert asker.cells("a") == []
        assert dispatcher.leases.late() == 0


def test_a_job_does_not_return_to_a_host_that_failed_it(asker: Asker) -> None:
    with asker.asking() as dispatcher, asker.worker("a"):
        fails = asker.submit(dispatcher, "fails", fails_on="a")
        dies = asker.submit(dispatcher, "dies", dies_on="a")
        # With no other host, the last failure is the answer.
        assert fails.result(PATIENCE).document["host_failed"]
        why = dies.result(PATIENCE).document["why"]
        assert "ended without a result: it was not to be" in why
        with asker.worker("b"):
            asker.group.wait_for("SELECT count(*) FROM hosts", lambda count: count == 2)
            again = asker.submit(dispatcher, "again", fails_on="a")
            assert again.result(PATIENCE).host == "b"
    assert max(Counter((name, host) for name, host, _ in asker.said("start")).values()) == 1


def test_a_worker_of_another_version_gets_nothing_and_refuses(asker: Asker) -> None:
    with asker.asking() as dispatcher, asker.worker("old", version="old"), asker.worker("a"):
        asker.group.wait_for("SELECT count(*) FROM hosts", lambda count: count == 2)
        cells = [asker.submit(dispatcher, f"cell{n}") for n in range(4)]
        assert {each.result(PATIENCE).host for each in cells} == {"a"}
        assert any("old has another version" in note for note in asker.notes)
        order = {"version": VERSION, "commands": False, "name": "x", "log": str(asker.log)}
        lease = dispatcher.leases.place(Job("x", 1.0), 0, "old", order)
        commands = {**order, "commands": True}
        other = dispatcher.leases.place(Job("y", 1.0), 0, "a", commands)
        asker.wait_until_idle()
        assert "another version" in dispatcher.leases.report(lease).document["why"]
        assert "--allow-commands" in dispatcher.leases.report(other).document["why"]
    with asker.worker("schema", schema="0001") as refused:
        assert refused.wait(PATIENCE) != 0
    assert "schema" in (asker.directory / "output-schema").read_text()


def test_a_worker_reads_and_reports_on_its_own_leases_alone(asker: Asker) -> None:
    with asker.worker("a"), asker.asking() as dispatcher:
        asker.submit(dispatcher, "cell").result(PATIENCE)
    own = MachineGroupRole(asker.group)
    other = own.another("thief")
    attacks = [
        "UPDATE leases SET result = '{}', state = 'ended'",
        "UPDATE hosts SET version = 'forged' WHERE name = 'a'",
        "UPDATE procrastinate_jobs SET status = 'todo'",
    ]
    with other.connect() as connection:
        for attack in attacks:
            assert connection.execute(attack.encode()).rowcount == 0, attack
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)
    # Its own leases get results, but neither other orders nor other hosts.
    with own.connect() as connection:
        for forbidden in (
            "UPDATE leases SET host = 'b'", "INSERT INTO leases (id) VALUES (7)",
            "DELETE FROM leases", "UPDATE procrastinate_jobs SET args = '{}'",
            "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('a', 'order')",
            "SELECT * FROM results", "SELECT * FROM nights", "INSERT INTO consoles VALUES ('a')",
            "UPDATE leases SET state = 'kept'", "INSERT INTO hosts SELECT 'c', 'admin', '', '{}', "
            "'[]', localtimestamp, false",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.encode())


@pytest.mark.parametrize(
    "seconds", [2.0, *(pytest.param(each, marks=pytest.mark.long) for each in (10.0, 60.0))]
)
def test_a_database_that_is_killed_loses_and_doubles_nothing(
    tmp_path: Path, seconds: float
) -> None:
    with postgres_server() as server:
        asker = Asker(MachineGroup(server, tmp_path), tmp_path)
        with asker.worker("a"), asker.worker("b"), asker.asking() as dispatcher:
            asker.submit(dispatcher, "first").result(PATIENCE)
            cells = [asker.submit(dispatcher, f"cell{n}", seconds=1.0) for n in range(6)]
            asker.wait_for_starts(4)
            server.stop(signal.SIGQUIT)
            time.sleep(seconds)
            server.start()
            assert [answer(each) for each in cells] == [f"cell{n}" for n in range(6)]
            asker.wait_until_idle()
        assert set(asker.states()) == {"ended"}
    assert max(Counter(name for name, *_ in asker.said("start")).values()) == 1


def test_a_worker_refuses_the_name_of_another_roles_host(asker: Asker) -> None:
    with asker.worker("a"):
        asker.group.wait_for("SELECT count(*) FROM hosts")
    other = MachineGroupRole(asker.group).another("second")
    url = replace(
        asker.group.worker, user=other.name, host=str(asker.group.server.directory), parameters=()
    )  # fmt: skip
    with asker.worker("a", url=str(url)) as refused:
        assert refused.wait(PATIENCE) != 0
    assert "another role" in (asker.directory / "output-a").read_text()
