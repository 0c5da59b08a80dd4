"""The hosts of a group as nights and workers see them: what fits, is refused, and is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_environment import fake_environment
from fake_guests import boots

from harness.errors import UsageError
from harness.group.placement import HostOffer
from harness.guest.topology import Topology
from harness.history.database import Database
from harness.history.url import DatabaseUrl
from harness.nightly.cells import NightCell
from harness.nightly.result import Result, Slot, Status
from harness.runs.groupworker import WorkRequest, cell_environment, offer_of, worker_directory
from harness.runs.nights.groupcells import GroupCells
from harness.runs.nights.grouphosts import NightHosts, SeenHost, seen_hosts
from harness.runs.view import Unseen

GIB = 1 << 30
URL = DatabaseUrl("127.0.0.1", 5432, "worker", "night")
CELL = NightCell(Slot("tree:main", "boot-none-numa2"), "boot", "none", numa="2", accelerator="tcg")


def guests(nodes: int = 2) -> Any:
    """Guests of cells, on this host."""
    boot = SimpleNamespace(topology=Topology.even(nodes))
    return SimpleNamespace(plan=lambda _: (SimpleNamespace(machine=None), boot))


def test_as_many_cells_run_at_once_as_the_hosts_have_cores() -> None:
    hosts = NightHosts((HostOffer("a", 4, 8 * GIB), HostOffer("b", 2.5, 8 * GIB)))
    assert (hosts.core, hosts.cells) == (1.0, 6)
    small = NightHosts((HostOffer("a", 0.5, 8 * GIB),))
    assert (small.core, small.cells) == (0.5, 1)


def test_a_cell_that_no_host_can_hold_is_refused_with_its_name() -> None:
    hosts = NightHosts((HostOffer("a", 4, 64 * GIB),))
    hosts.refuse_impossible([CELL], guests())
    with pytest.raises(UsageError, match=r"boot boot-none-numa2 of tree:main: .*memory"):
        NightHosts((HostOffer("a", 4, 1 << 20),)).refuse_impossible([CELL], guests())


def test_a_history_in_a_file_has_no_hosts(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "history.sqlite")
    assert seen_hosts(database) == []
    with pytest.raises(UsageError, match="is not that of a group") as refused:
        NightHosts.found(database, 60.0, Unseen())
    assert "harness group init" in refused.value.remedy


def test_a_host_is_told_in_one_line() -> None:
    host = SeenHost("a", 2.5, 3 * GIB, 7.4, 2, "works")
    assert host.line == "host a: works, 2 running, 2.5 cores, 3.0 GiB, reported 7 s ago"


@pytest.mark.parametrize("name", ["a/b", "a\nb", "x" * 101])
def test_a_name_that_no_host_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with (
        fake_environment(tmp_path, boots) as env,
        pytest.raises(UsageError, match="cannot be the name of a host"),
    ):
        offer_of(WorkRequest(URL, (), name), env)


def test_workers_of_other_groups_and_names_have_other_directories(tmp_path: Path) -> None:
    other = DatabaseUrl("127.0.0.1", 5432, "worker", "other")
    with fake_environment(tmp_path, boots) as env:
        found = {worker_directory(env, url, name) for url in (URL, other) for name in ("a", "b")}
        assert len(found) == 4
        assert all(each.is_relative_to(env.workspace.state) for each in found)
        assert cell_environment(env).command == ("nightly", "run")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"kind": "failed", "why": "no QEMU"}, "did not carry it out: no QEMU"),
        ({"kind": "failed", "why": 7}, "did not carry it out: no reason"),
        ({"kind": "done", "document": ["x"]}, "a reported no result"),
        ({}, "no reason"),
    ],
)
def test_what_a_host_reports_wrongly_is_the_hosts_failure(
    document: dict[str, object], words: str
) -> None:
    planned = Result(CELL.slot, "c" * 40, Status.HOST_FAILED)
    report = cast("Any", SimpleNamespace(host="a", document=document, console=b""))
    found = GroupCells._told(report, planned)
    assert (found.status, found.host) == (Status.HOST_FAILED, "a")
    assert words in found.detail + found.title
