"""A group of machines for tests: a database with its roles, and workers with own caches."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from command import GLANCE, Home, Running
from postgres_server import Server

from harness.group.roles import Roles, make_group
from harness.history.url import DatabaseUrl

PATIENCE = 400.0
"""Seconds that no host exceeds; no test waits for all of them."""

_NUMBERS = itertools.count(1)


@dataclass
class MachineGroup:
    """A group.

    Attributes:
        server: its server.
        directory: of this test.
        owner: the database with the owner's role.
        worker: the database with the worker's role.
    """

    server: Server
    directory: Path
    owner: DatabaseUrl = field(init=False)
    worker: DatabaseUrl = field(init=False)

    def __post_init__(self) -> None:
        url = self.server.database(owner="admin")
        admin = replace(url, user="admin", host=str(self.server.directory), parameters=())
        name = f"group{next(_NUMBERS)}_{self.server.port}"
        made = make_group(admin, Roles(f"{name}_owner", f"{name}_worker"), self.directory)
        self.owner, self.worker = (
            replace(each.url, host=self.server.address) for each in made
        )  # fmt: skip

    @contextlib.contextmanager
    def started(self, home: Home, name: str, *words: str) -> Iterator[Running]:
        """Yield a worker with a home of its own, which takes cells."""
        command = ("worker", str(self.worker), "--name", name, "--cores", "1", *words)
        with home.started(*command) as running:
            running.wait_for_words("works for")
            yield running

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Return what a statement selects, as the superuser."""
        with self.server.admin(self.owner.database) as connection:
            connection.execute("SET search_path = harness")
            return connection.execute(statement.encode()).fetchall()

    def wait_for(self, statement: str, test: Callable[[int], bool] = bool) -> None:
        """Wait until the number that a statement selects passes a test."""
        deadline = time.monotonic() + PATIENCE
        while not test(int(str(self.rows(statement)[0][0]))):
            assert time.monotonic() < deadline, statement
            time.sleep(GLANCE)


@dataclass
class MachineGroupRole:
    """A worker's role of a group, whose password somebody has stolen.

    Args:
        group: the group.
        name: the role; empty: that of the group's workers.
    """

    group: MachineGroup
    name: str = ""

    def another(self, name: str) -> MachineGroupRole:
        """Make a role with the same rights."""
        worker, database = self.group.worker.user, self.group.owner.database
        made = f"{worker}_{name}"
        self.group.server.execute(f"CREATE ROLE {made} LOGIN IN ROLE {worker}", database=database)
        return MachineGroupRole(self.group, made)

    def connect(self) -> psycopg.Connection:
        """Return a connection of the role."""
        server = self.group.server
        connection = psycopg.connect(
            host=str(server.directory), port=server.port, user=self.name or self.group.worker.user,
            dbname=self.group.owner.database, autocommit=True,
        )  # fmt: skip
        connection.execute("SET search_path = harness")
        return connection
