"""Clients of booted guests: how they begin, ask for a sign of life, fail, and are stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest

from harness.boot.guestclient import ClientSession, accompanied
from harness.boot.shellclient import ShellClient
from harness.errors import InfraError
from harness.guest.contact import Contact
from harness.host.clock import HostClock, ManualClock
from harness.host.progress import Recorded
from harness.shell.shell import ShellError, ShellLostError

REPORT = cast("Any", None)


@dataclass
class Line:
    """A serial port at which nothing happens."""

    wrote: bytes = b""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        del also
        threading.Event().wait(min(timeout, 0.001))
        return None

    def write(self, data: bytes) -> None:
        self.wrote += data

    def fileno(self) -> None:
        return


@dataclass
class Client:
    """A client whose work is a function of the contact."""

    works: Callable[[Contact], object]
    stopped: int = 0
    module: str = ""
    tunables: Mapping[str, str] = field(default_factory=dict)

    def stop(self) -> None:
        self.stopped += 1

    def work(self, contact: Contact, *_: object) -> None:
        self.works(contact)


def no_shell(_: object) -> Any:
    raise ShellError("there is none")


def begun(client: Client) -> ClientSession:
    session = ClientSession(client, Contact(Line(), no_shell))
    session.begin(REPORT, Recorded(), ManualClock())
    return session


def reads_for_ever(contact: Contact) -> None:
    contact.tap.write(b"hello\n")
    while contact.tap.read(60.0) != b"":
        pass


def test_a_client_that_has_not_begun_is_not_stopped() -> None:
    client = Client(reads_for_ever)
    session = ClientSession(client, Contact(Line(), no_shell))
    session.end()
    assert (session.begun, session.busy, client.stopped) == (False, False, 0)


def test_a_client_that_reads_is_ended_with_its_guest() -> None:
    client = Client(reads_for_ever)
    session = begun(client)
    assert session.busy
    session.end()
    assert (session.busy, client.stopped) == (False, 1)


def test_the_exception_of_a_client_is_raised_where_it_is_waited_for() -> None:
    def fails(_: Contact) -> None:
        raise InfraError("the disk is full")

    with pytest.raises(InfraError, match="the disk is full"):
        begun(Client(fails)).end()


def test_a_client_asks_for_life_once_and_hears_the_console() -> None:
    alive: list[bool] = []
    session = begun(Client(lambda contact: alive.append(contact.answers(HostClock()))))
    while not session.asks_for_life():
        assert session.busy
    assert not session.asks_for_life()
    session.console_printed()
    while session.busy:
        threading.Event().wait(0.001)
    session.end()
    assert alive == [True]


def test_a_console_that_is_silent_for_too_long_is_no_sign_of_life() -> None:
    alive: list[bool] = []
    clock = ManualClock()
    session = begun(Client(lambda contact: alive.append(contact.answers(clock))))
    while session.busy:
        clock.sleep(1.0)
    session.end()
    assert alive == [False]


def test_without_a_client_or_a_port_there_is_no_session() -> None:
    with accompanied(None, Line(), no_shell) as session:
        assert session is None
    with accompanied(Client(reads_for_ever), None, no_shell) as session:
        assert session is None


def test_a_client_is_stopped_however_its_guest_ends() -> None:
    client = Client(reads_for_ever)

    def lost() -> None:
        with accompanied(client, Line(), no_shell) as session:
            assert session is not None
            session.begin(REPORT, Recorded(), ManualClock())
            raise InfraError("QEMU has exited")

    with pytest.raises(InfraError, match="QEMU"):
        lost()
    assert client.stopped == 1


# --- a client of a shell ----------------------------------------------------------------------


@dataclass
class Shell:
    """A shell that can be lost."""

    fails: ShellError | None = None
    closed: int = 0

    def connect(self) -> None:
        if self.fails is not None:
            raise self.fails

    def close(self) -> None:
        self.closed += 1


@dataclass
class Shells:
    shell: Shell
    tunables: Mapping[str, str] = field(default_factory=lambda: {"harness.shell": "1"})

    def open(self, *_: object) -> Any:
        return self.shell


def worked(client: ShellClient) -> None:
    client.work(Contact(Line(), no_shell), REPORT, Recorded(), ManualClock())


def test_jobs_run_in_order_and_their_results_are_those_of_the_callers() -> None:
    shell, ready = Shell(), threading.Event()
    client = ShellClient(Shells(shell), ready.set)
    seen: list[int] = []

    def noted(number: int) -> int:
        seen.append(number)
        return number * 2

    jobs = [client.submit(partial(lambda number, _: noted(number), number)) for number in range(3)]
    client.finish()
    worked(client)
    assert ready.is_set()
    assert (seen, [job.result(0) for job in jobs]) == ([0, 1, 2], [0, 2, 4])
    assert (client.lost, shell.closed) == (None, 1)
    assert client.tunables == {"harness.shell": "1"}


def test_a_job_that_fails_fails_alone() -> None:
    client = ShellClient(Shells(Shell()))

    def wrong(_: object) -> None:
        raise ValueError("wrong")

    first, second = client.submit(wrong), client.submit(lambda _: "right")
    client.finish()
    worked(client)
    assert isinstance(first.exception(0), ValueError)
    assert second.result(0) == "right"


def test_a_lost_shell_ends_the_work_and_what_waits_fails() -> None:
    client = ShellClient(Shells(Shell()))

    def loses(_: object) -> None:
        raise ShellLostError("the guest has panicked")

    first, second = client.submit(loses), client.submit(lambda _: "never")
    worked(client)
    client.abandon()
    assert str(client.lost) == "the guest has panicked"
    assert isinstance(first.exception(0), ShellLostError)
    assert isinstance(second.exception(0), ShellLostError)
    assert isinstance(client.submit(lambda _: "late").exception(0), ShellLostError)


def test_a_guest_that_lets_nobody_in_is_lost_before_the_first_job() -> None:
    ready = threading.Event()
    client = ShellClient(Shells(Shell(ShellError("wrong key"))), ready.set)
    worked(client)
    assert str(client.lost) == "wrong key"
    assert not ready.is_set()


def test_stopping_closes_the_shell_under_the_job_that_runs() -> None:
    shell = Shell()
    client = ShellClient(Shells(shell))
    client.submit(lambda _: client.stop())
    worked(client)
    assert shell.closed >= 1
    assert client.lost is None
