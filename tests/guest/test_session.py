"""A guest that a program uses: commands, and what it raises when the kernel fails meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Home, home_with_kernels

from harness.config import Settings
from harness.errors import UsageError
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.outcome import Outcome
from harness.results.store import Store
from harness.runs.environment import Environment
from harness.runs.guests import GuestRequest
from harness.runs.session import GuestSession, SessionRequest, open_session
from harness.runs.sessionfailure import GuestFailed, PanicMissingError
from harness.shell.shell import ShellRefusedError
from harness.source.change import Change
from harness.source.request import KernelRequest

pytestmark = pytest.mark.guest

TWO_NODES = SessionRequest(
    KernelRequest("embedded"), GuestRequest(numa="2", accelerator="tcg", memory=64)
)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with home_with_kernels() as made:
        yield made


@pytest.fixture
def env(home: Home, tmp_path: Path) -> Iterator[Environment]:
    runner = HostRunner()
    runtime = Path(home.env["XDG_RUNTIME_DIR"])
    env = Environment(
        workspace=Workspace(home.cache, home.directory / "state", runtime),
        runner=runner, clock=HostClock(), out=tmp_path,
    )  # fmt: skip
    vars(env)["settings"] = Settings()  # not the user's
    yield env
    runner.close()
    assert not home.leftovers()


@pytest.fixture
def session(env: Environment) -> Iterator[GuestSession]:
    with open_session(TWO_NODES, env) as opened:
        yield opened


def recorded(env: Environment) -> str:
    """Return the outcome in the only record."""
    (name,) = Store(env.runs).names()
    (cell,) = Store(env.runs).load(name)["cells"]
    assert (cell["host_failed"], cell["verified"]) == (False, True)
    return f"{cell['verdict']['outcome']}, {'as' if cell['as_expected'] else 'not'} expected"


def test_commands_run_until_it_is_closed(session: GuestSession, env: Environment) -> None:
    assert session.run("echo two words").stdout == b"two words\n"
    assert [session.sysctl(name) for name in ("vm.ndomains", "hw.ncpu")] == ["2", "2"]
    assert "NOT FreeBSD" in session.run("sysctl -n kern.msgbuf").stdout.decode()
    assert "---<<BOOT>>---" in session.console
    with pytest.raises(ShellRefusedError, match="no-such: unknown oid"):
        session.sysctl("no-such")
    session.close()
    assert recorded(env) == "booted, as expected"
    assert session.verdict is not None
    assert session.failure is None


def test_a_panic_ends_a_command_with_its_verdict(session: GuestSession, env: Environment) -> None:
    with pytest.raises(GuestFailed, match="panic: out of ideas in do_panic") as raised:
        session.run("panic 'out of ideas'")
    failed = raised.value
    assert "do_panic" in [frame.function for frame in failed.frames]
    assert any(frame.file.endswith("commands.c") for frame in failed.frames)
    assert "panic: out of ideas" in failed.console
    assert recorded(env) == "panic, not expected"
    with pytest.raises(GuestFailed, match="out of ideas"):
        session.run("true")
    session.close()


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ("plant reset", Outcome.RESET),
        ("plant end", Outcome.ENDED),
        ("plant trap", Outcome.TRAP),
    ],
)
def test_each_end_has_its_name(session: GuestSession, command: str, outcome: Outcome) -> None:
    with pytest.raises(GuestFailed) as raised:
        session.run(command)
    assert raised.value.verdict.outcome is outcome


def test_an_expected_panic_is_as_expected(session: GuestSession, env: Environment) -> None:
    with session.panic_expected("do_panic") as panic:
        session.run("panic")
    assert panic.failure is not None
    assert recorded(env) == "panic, as expected"


def test_a_panic_that_does_not_come_is_missed(session: GuestSession) -> None:
    with pytest.raises(PanicMissingError, match="did not panic"), session.panic_expected():
        session.run("false")
    with pytest.raises(PanicMissingError, match="'other' is not in"):  # noqa: SIM117
        with session.panic_expected("other"):
            session.run("panic")


def test_a_wait_that_is_interrupted_ends_the_guest(session: GuestSession, home: Home) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            session.run("plant hang")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert session.failure is not None
    session.close()


def test_a_kernel_that_does_not_boot_has_its_verdict_at_once(env: Environment) -> None:
    before = KernelRequest("embedded", Change(mutant="drop-commit"))
    request = SessionRequest(before, TWO_NODES.guest)
    with pytest.raises(GuestFailed, match=r"panic: .*vm_map_entry_create"):
        open_session(request, env)


def test_a_request_for_several_guests_is_refused(env: Environment) -> None:
    with pytest.raises(UsageError, match="a session boots one"):
        open_session(SessionRequest(TWO_NODES.what, GuestRequest(numa="1,2")), env)
