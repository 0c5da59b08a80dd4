"""Files that move through a group's database: resumed, bounded, and refused if they are others."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from machine_group import PATIENCE, MachineGroup, MachineGroupRole
from postgres_server import Server, postgres_server

from harness.errors import HarnessError, InfraError
from harness.group.files import PART, PARTS, GroupFiles, NotSentError, WrongFileError, require_room
from harness.group.placement import HostOffer
from harness.group.reports import HostReports
from harness.history.migrate import newest_schema
from harness.host.clock import HostClock
from harness.host.seal import Seal, seal_file

CONTENT = random.Random(7).randbytes(2 * PART) + b"\0" * PART + b"the rest"
"""Four parts, of which two cannot be compressed."""


@pytest.fixture
def group(postgres: Server, tmp_path: Path) -> MachineGroup:
    return MachineGroup(postgres, tmp_path)


@contextmanager
def files(group: MachineGroup, *hosts: str) -> Iterator[list[GroupFiles]]:
    """Yield the files of hosts that have announced themselves."""
    found = []
    for host in hosts:
        reports = HostReports(group.worker, host)
        reports.announce(HostOffer(host, 1.0, 1), "v", newest_schema())
        reports.close()
        found.append(GroupFiles(group.worker, host, HostClock()))
    try:
        yield found
    finally:
        for each in found:
            each.close()


def written(directory: Path, content: bytes = CONTENT, name: str = "kernel") -> tuple[Path, Seal]:
    path = directory / name
    path.write_bytes(content)
    return path, seal_file(path, name)


def test_a_file_arrives_whole_and_is_sent_once(group: MachineGroup, tmp_path: Path) -> None:
    with files(group, "a", "b") as (sender, receiver):
        path, seal = written(tmp_path)
        assert [sender.send([(path, seal)]) for _ in range(2)] == [4, 0]
        found = receiver.fetch("a", seal, tmp_path / "cache")
        assert found.read_bytes() == CONTENT
        assert found.name.startswith("."), "it is not in the cache yet"
        assert group.rows("SELECT count(*), max(length(data)) < 1100000 FROM file_parts") == [
            (4, True)
        ]


def test_what_was_fetched_before_a_cut_is_not_fetched_again(
    group: MachineGroup, tmp_path: Path
) -> None:
    with files(group, "a", "b") as (sender, receiver):
        path, seal = written(tmp_path)
        sender.send([(path, seal)])
        begun = tmp_path / f".{seal.sha256}"
        begun.write_bytes(CONTENT[: 2 * PART + 5])
        group.rows("DELETE FROM file_parts WHERE number < 2 RETURNING number")
        assert receiver.fetch("a", seal, tmp_path).read_bytes() == CONTENT
        assert sender.send([(path, seal)]) == 2


def test_a_server_that_is_killed_in_the_middle_delays_files_and_loses_none(
    tmp_path: Path,
) -> None:
    with postgres_server() as server:
        group = MachineGroup(server, tmp_path)
        with files(group, "a", "b") as (sender, receiver):
            path, seal = written(tmp_path)
            sender.send([(path, seal)])
            # An unlogged table is empty after a crash.
            server.stop(signal.SIGQUIT)
            started = threading.Thread(target=server.start)
            started.start()
            with pytest.raises(NotSentError, match="not there any more"):
                receiver.fetch("a", seal, tmp_path)
            started.join(PATIENCE)
            assert sender.send([(path, seal)]) == 4
            assert receiver.fetch("a", seal, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no zlib", zlib.compress(b"short"), zlib.compress(b"\0" * (PART + 1)),
        zlib.compress(b"\0" * (64 << 20)), zlib.compress(b"x" * PART)[:-3],
        zlib.compress(b"x" * PART),
    ],
)  # fmt: skip
def test_what_a_host_sends_in_place_of_a_file_is_refused_and_not_kept(
    group: MachineGroup, tmp_path: Path, data: bytes
) -> None:
    with files(group, "liar", "b") as (_, receiver):
        seal = Seal("kernel", PART, hashlib.sha256(CONTENT[:PART]).hexdigest())
        with MachineGroupRole(group).connect() as connection:
            connection.execute(
                "INSERT INTO file_parts VALUES ('liar', %s, 0, %s, localtimestamp)",
                (seal.sha256, data),
            )
        with pytest.raises(WrongFileError, match="liar sent"):
            receiver.fetch("liar", seal, tmp_path / "cache")
        left = list((tmp_path / "cache").glob(".*"))
        assert not left or left[0].stat().st_size == 0


def test_a_part_is_not_replaced_and_another_roles_host_not_written_for(
    group: MachineGroup, tmp_path: Path
) -> None:
    with files(group, "a", "b") as (sender, receiver):
        path, seal = written(tmp_path)
        sender.send([(path, seal)])
        own = MachineGroupRole(group)
        with own.connect() as connection:
            for statement in (
                "UPDATE file_parts SET data = ''",
                "INSERT INTO file_parts VALUES ('c', 'x', 0, '', localtimestamp)",
                "TRUNCATE file_parts",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
        other = own.another("thief")
        with other.connect() as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(
                    "INSERT INTO file_parts VALUES ('a', %s, 9, '', localtimestamp)", (seal.sha256,)
                )
            assert connection.execute("DELETE FROM file_parts").rowcount == 0
        assert receiver.fetch("a", seal, tmp_path / "cache").read_bytes() == CONTENT


def test_a_host_has_so_many_parts_at_most_and_makes_room_for_new_files(
    group: MachineGroup, tmp_path: Path
) -> None:
    with files(group, "a") as (sender,):
        with MachineGroupRole(group).connect() as connection:
            insert = (
                "INSERT INTO file_parts SELECT 'a', repeat({}, 64), number, '', {} "
                "FROM generate_series(0, {}) AS number"
            )
            half = PARTS // 2 - 1
            connection.execute(insert.format("'1'", "'2026-01-01'", half).encode())
            connection.execute(insert.format("'2'", "'2026-01-02'", half).encode())
            for count in (0, PARTS - 1):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(insert.format("'3'", "localtimestamp", count).encode())
                refused = psycopg.errors.CheckViolation, psycopg.errors.InsufficientPrivilege
            for bad in ("2048, ''", "-1, ''", "0, repeat('x', 1100001)::bytea"):
                values = f"VALUES ('a', 'y', {bad}, localtimestamp)"
                with pytest.raises(refused):
                    connection.execute(f"INSERT INTO file_parts {values}".encode())
        path, seal = written(tmp_path)
        assert sender.send([(path, seal)]) == 4
        left = "SELECT left(sha256, 1), count(*) FROM file_parts WHERE sha256 <> '{}' GROUP BY 1"
        assert group.rows(left.format(seal.sha256)) == [("2", PARTS // 2)]


def test_files_that_are_too_large_or_gone_are_told(group: MachineGroup, tmp_path: Path) -> None:
    with files(group, "a") as (sender,):
        huge = Seal("disk.qcow2", (PARTS + 1) * PART, "0" * 64)
        with pytest.raises(InfraError, match="more than the 2048"):
            sender.send([(tmp_path / "disk", huge)])
        _, seal = written(tmp_path)
        with pytest.raises(InfraError, match="cannot read"):
            sender.send([(tmp_path / "gone", seal)])
        with pytest.raises(HarnessError, match="no room"):
            require_room(tmp_path, [Seal("disk.qcow2", 1 << 60, "0" * 64)])


def test_old_beginnings_of_files_are_removed(group: MachineGroup, tmp_path: Path) -> None:
    with files(group, "a", "b") as (sender, receiver):
        path, seal = written(tmp_path, b"content")
        sender.send([(path, seal)])
        old, new = tmp_path / ".old", tmp_path / ".new"
        for each in (old, new):
            each.touch()
        os.utime(old, (1, 1))
        receiver.fetch("a", seal, tmp_path)
        assert (old.exists(), new.exists()) == (False, True)
