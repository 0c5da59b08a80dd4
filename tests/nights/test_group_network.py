"""Workers in network namespaces, each with a role of its own, that reach the database by TLS."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from group_asker import Asker, answer
from machine_group import PATIENCE, MachineGroup, MachineGroupRole
from postgres_server import Server, postgres_server

from harness.group.dispatcher import Dispatcher
from harness.group.leases import Report
from harness.group.roles import Roles, make_group
from harness.history.url import DatabaseUrl

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

ADDRESS = "10.213.7.1"
"""The server's, which both hosts reach by a cable of their own."""

ENTER = ("ip", "netns", "exec")

CUT = 60.0
"""Seconds for which a host is cut off."""


@dataclass(frozen=True)
class Network:
    """A server and two hosts, each in a namespace.

    Attributes:
        server: the server's namespace.
        hosts: those of the hosts, by their names.
    """

    server: str
    hosts: dict[str, str]

    @contextmanager
    def cut(self, host: str) -> Iterator[None]:
        """Cut a host off, without a reset, within the context."""
        for state in ("down", "up"):
            words = ("ip", "-n", self.server, "link", "set", f"to-{host}", state)
            subprocess.run(words, check=True)
            if state == "down":
                yield


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(
        f"harness-{os.getpid()}-s", {host: f"harness-{os.getpid()}-{host}" for host in "ab"}
    )
    commands = [["netns", "add", name] for name in (made.server, *made.hosts.values())]
    commands += [
        ["-n", made.server, "link", "set", "lo", "up"],
        ["-n", made.server, "addr", "add", f"{ADDRESS}/32", "dev", "lo"],
    ]
    for number, (host, name) in enumerate(made.hosts.items(), start=8):
        end, other = ["-n", name], ["-n", made.server]
        commands += [
            [*other, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "net", "netns",
             name],
            [*other, "addr", "add", f"10.213.{number}.1/24", "dev", f"to-{host}"],
            [*other, "link", "set", f"to-{host}", "up"],
            [*end, "addr", "add", f"10.213.{number}.2/24", "dev", "net"],
            [*end, "link", "set", "net", "up"],
            [*end, "link", "set", "lo", "up"],
            [*end, "route", "add", f"{ADDRESS}/32", "via", f"10.213.{number}.1"],
        ]  # fmt: skip
    try:
        for words in commands:
            done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
        yield made
    finally:
        for name in (made.server, *made.hosts.values()):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def authority(directory: Path, name: str) -> Path:
    """Make an authority, and a certificate of the server with its key; return the first."""
    directory = directory / name
    directory.mkdir()
    key = ("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
           "ec_paramgen_curve:P-256", "-days", "2")  # fmt: skip
    own = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.crt",
              "-subj", f"/CN={ADDRESS}", "-addext", f"subjectAltName=IP:{ADDRESS}",
              "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
    for words in (own, signed):
        subprocess.run([*key, *words], cwd=directory, check=True, capture_output=True)
    both = (directory / "server.crt").read_bytes() + (directory / "server.key").read_bytes()
    (directory / "server.pem").write_bytes(both)
    return directory / "ca.pem"


@dataclass
class HostsApart:
    """A group whose hosts have a namespace and a role each.

    Attributes:
        asker: its asker, which uses the server's socket.
        network: the namespaces.
        roles: the URLs of the hosts' roles.
    """

    asker: Asker
    network: Network
    roles: dict[str, DatabaseUrl]

    @contextmanager
    def workers(self) -> Iterator[None]:
        with self.worker("a"), self.worker("b"):
            self.asker.group.wait_for("SELECT count(*) FROM hosts", lambda count: count == 2)
            yield

    def worker(
        self, host: str, **changed: str
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:  # fmt: skip
        parameters = {**dict(self.roles[host].parameters), **changed}
        url = replace(self.roles[host], parameters=tuple(parameters.items()))
        before = (*ENTER, self.network.hosts[host])
        return self.asker.worker(host, before, url=str(url))


def apart(server: Server, network: Network, directory: Path, root: Path) -> HostsApart:
    """Make a group in which each host has a role of its own."""
    group = MachineGroup(server, directory)
    socket = str(server.directory)
    admin = replace(group.owner, user="admin", host=socket, parameters=())
    second = f"{group.worker.user}_b"
    _, made = make_group(admin, Roles(group.owner.user, second), directory)
    group.owner = replace(group.owner, host=socket)
    tls = {"sslmode": "verify-full", "sslrootcert": str(root)}
    roles = {}
    for host, url in (("a", group.worker), ("b", made.url)):
        parameters = {**dict(url.parameters), **tls}
        roles[host] = replace(url, host=ADDRESS, parameters=tuple(parameters.items()))
        # Its line names the socket's "*" as host.
        assert Path(dict(url.parameters)["passfile"]).read_text().startswith("*:")
    return HostsApart(Asker(group, directory), network, roles)


@pytest.fixture
def hosts(network: Network, tmp_path: Path) -> Iterator[HostsApart]:
    root = authority(tmp_path, "ours")
    with postgres_server(ADDRESS, (*ENTER, network.server), root.with_name("server.pem")) as server:
        yield apart(server, network, tmp_path, root)


def begin(hosts: HostsApart, dispatcher: Dispatcher, count: int) -> list[Future[Report]]:
    """Have a kernel built and moved, and cells run on both hosts that wait for a gate."""
    asker = hosts.asker
    asker.submit(dispatcher, "build", makes="k1").result(PATIENCE)
    gate = str(asker.directory / "gate")
    cells = [
        asker.submit(dispatcher, f"cell{number}", kernel="k1", gate=gate) for number in range(count)
    ]
    asker.wait_for_starts(3 + 4)
    return cells


def test_a_host_that_is_cut_off_for_a_minute_reports_afterwards_and_nothing_runs_twice(
    hosts: HostsApart,
) -> None:
    asker = hosts.asker
    with hosts.workers(), asker.asking() as dispatcher:
        cells = begin(hosts, dispatcher, 10)
        with hosts.network.cut("a"):
            (asker.directory / "gate").touch()
            time.sleep(CUT)
        assert [answer(each) for each in cells] == [f"cell{number}" for number in range(10)]
        asker.wait_until_idle()
        tls = (
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE ssl AND usename = '{}'"
        )
        for url in hosts.roles.values():
            asker.group.wait_for(tls.format(url.user))
    starts = Counter(name for name, *_ in asker.said("start") if name.startswith("cell"))
    assert set(starts.values()) == {1}
    assert set(asker.states()) == {"ended"}


def test_cells_of_a_host_that_is_cut_off_for_too_long_run_elsewhere_and_its_results_are_late(
    hosts: HostsApart,
) -> None:
    asker = hosts.asker
    asker.silence = CUT / 2
    with hosts.workers(), asker.asking() as dispatcher:
        cells = begin(hosts, dispatcher, 6)
        started = [(name, host) for name, host, _ in asker.said("start")]
        on_a = {name for name, host in started if host == "a" and name.startswith("cell")}
        with hosts.network.cut("a"):
            (asker.directory / "gate").touch()
            assert {each.result(PATIENCE).host for each in cells} == {"b"}
        asker.group.wait_for("SELECT count(*) FROM leases WHERE state = 'late'",
                             lambda count: count == 2)  # fmt: skip
        # It is taken back.
        more = [asker.submit(dispatcher, f"more{number}", seconds=2.0) for number in range(8)]
        assert {each.result(PATIENCE).host for each in more} == {"a", "b"}
    starts = Counter(name for name, *_ in asker.said("start") if name.startswith("cell"))
    assert {name for name, count in starts.items() if count > 1} == on_a


def test_a_role_sees_no_leases_of_the_other_hosts_role(hosts: HostsApart) -> None:
    asker = hosts.asker
    with hosts.workers(), asker.asking() as dispatcher:
        cells = begin(hosts, dispatcher, 4)
        (asker.directory / "gate").touch()
        assert {each.result(PATIENCE).host for each in cells} == {"a", "b"}
    for host, url in hosts.roles.items():
        with MachineGroupRole(asker.group, url.user).connect() as connection:
            found = connection.execute("SELECT DISTINCT host FROM leases").fetchall()
            assert found == [(host,)]
            removed = connection.execute("DELETE FROM file_parts WHERE host <> %s", (host,))
            assert removed.rowcount == 0


def test_a_server_with_a_foreign_certificate_is_not_talked_to(
    hosts: HostsApart, tmp_path: Path
) -> None:
    foreign = authority(tmp_path, "foreign")
    with hosts.worker("a", sslrootcert=str(foreign)) as refused:
        assert refused.wait(PATIENCE) != 0
    assert "certificate" in (tmp_path / "output-a").read_text()
    assert hosts.asker.group.rows("SELECT * FROM hosts") == []
