"""Ready snapshots of the built-in guest: restored guests, and whatever spoils a snapshot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from backend_guests import daemons
from command import GLANCE, SECONDS, Home, home_with_kernels

from harness.config import Settings
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.outcome import Outcome
from harness.results.record import Cell
from harness.runs import session as sessions
from harness.runs.check import check
from harness.runs.checkrequest import CheckRequest, On
from harness.runs.environment import Environment
from harness.runs.guests import GuestRequest
from harness.runs.session import SessionRequest, open_session
from harness.runs.sessionfailure import GuestFailed
from harness.source.request import KernelRequest

pytestmark = pytest.mark.guest

GUEST = GuestRequest(numa="2", accelerator="tcg", memory=64, snapshot=True)


class Notes:
    """Collects the notes of all boots."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def stage(self, name: str, log: Path | None = None) -> None:
        del name, log

    def detail(self, text: str) -> None:
        del text

    def note(self, message: str) -> None:
        self.all.append(message)


@pytest.fixture
def home() -> Iterator[Home]:
    with home_with_kernels() as made:
        yield made


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    made = Notes()
    monkeypatch.setattr(sessions, "Recorded", lambda: made)
    return made


@pytest.fixture
def env(home: Home, tmp_path: Path) -> Iterator[Environment]:
    runner = HostRunner()
    runtime = Path(home.env["XDG_RUNTIME_DIR"])
    env = Environment(
        workspace=Workspace(home.cache, home.directory / "state" / "harness", runtime),
        runner=runner, clock=HostClock(), out=tmp_path,
    )  # fmt: skip
    vars(env)["settings"] = Settings()  # not the user's
    yield env
    runner.close()
    assert not home.leftovers()


def used(env: Environment, guest: GuestRequest = GUEST) -> Cell:
    """Use a guest, and return its cell."""
    with open_session(SessionRequest(KernelRequest("embedded"), guest), env) as session:
        assert session.sysctl("vm.ndomains") == guest.numa
    cell = session.cell
    assert cell is not None
    assert cell.verdict is not None
    assert (cell.verdict.outcome, cell.verified) == (Outcome.BOOTED, True)
    return cell


def snapshot_of(env: Environment) -> Path:
    (found,) = (env.workspace.cache / "snapshots").glob("[!.]*")
    return found


def test_a_restored_guest_proves_the_same_facts_with_a_nonce_of_its_own(env: Environment) -> None:
    cells = [used(env) for _ in range(3)]
    key = snapshot_of(env).name
    assert [cell.snapshot for cell in cells] == ["", key, key]
    assert len({cell.verification.nonce for cell in cells if cell.verification}) == 3
    assert all(cell.report == cells[0].report for cell in cells[1:])


def test_libvirt_restores_what_it_has_saved(env: Environment) -> None:
    try:
        cells = [used(env, replace(GUEST, backend="libvirt")) for _ in range(3)]
    finally:
        for daemon in daemons(env.workspace.runtime):
            daemon.terminate()
            daemon.wait(60)
    key = snapshot_of(env).name
    assert [cell.snapshot for cell in cells] == ["", key, key]
    assert len({cell.verification.nonce for cell in cells if cell.verification}) == 3
    assert all(cell.report == cells[0].report for cell in cells[1:])


def test_another_machine_has_another_snapshot(env: Environment) -> None:
    others = [replace(GUEST, numa="1"), replace(GUEST, memory=96),
              replace(GUEST, tunables={"any": "1"})]  # fmt: skip
    assert [used(env, guest).snapshot for guest in (GUEST, *others)] == ["", "", "", ""]
    assert len(list((env.workspace.cache / "snapshots").glob("[!.]*"))) == 4


def test_without_a_snapshot_a_guest_boots(env: Environment) -> None:
    used(env)
    assert used(env, replace(GUEST, snapshot=False)).snapshot == ""
    assert used(env, replace(GUEST, snapshot=None)).snapshot == ""


def test_a_restored_guest_is_checked_as_a_booted_one(env: Environment) -> None:
    request = CheckRequest(
        KernelRequest("embedded"), GUEST, operations=100, subsystem="uma", on=On.GUEST
    )
    cells = [check(request, env).run.cells[0] for _ in range(2)]
    assert [cell.snapshot for cell in cells] == ["", snapshot_of(env).name]
    assert all(cell.as_expected and cell.verified and cell.check for cell in cells)
    first, second = (cell.check for cell in cells)
    assert first is not None
    assert second == replace(first, seconds=second.seconds if second else 0.0)


@pytest.mark.parametrize(
    ("command", "outcome"),
    [("panic ideas", Outcome.PANIC), ("plant trap", Outcome.TRAP), ("plant reset", Outcome.RESET)],
)
def test_a_restored_guests_failure_is_judged_as_any(
    env: Environment, command: str, outcome: Outcome
) -> None:
    for restored in (False, True):
        with (
            pytest.raises(GuestFailed) as raised,
            open_session(SessionRequest(KernelRequest("embedded"), GUEST), env) as session,
        ):
            session.run(command)
        failed = raised.value
        assert bool(failed.cell.snapshot) is restored
        assert failed.verdict.outcome is outcome
        assert failed.cell.verified
        functions = [frame.function for frame in failed.frames]
        assert outcome is not Outcome.PANIC or "do_panic" in functions


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


FILES = ("state", "memory0", "memory1", "manifest.json")
DAMAGES = (flip, cut, Path.unlink)


def in_ci(file: int, damage: int) -> bool:
    """Each file, and each damage, once."""
    return damage == file % len(DAMAGES)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        pytest.param(name, spoil, marks=[] if in_ci(file, damage) else pytest.mark.long)
        for file, name in enumerate(FILES)
        for damage, spoil in enumerate(DAMAGES)
    ],
)
def test_a_damaged_snapshot_is_replaced_with_one_note(
    env: Environment, notes: Notes, spoil: Callable[[Path], None], name: str
) -> None:
    used(env)
    spoil(snapshot_of(env) / name)
    assert used(env).snapshot == ""
    assert len(notes.all) == 1
    assert used(env).snapshot == snapshot_of(env).name


@pytest.mark.parametrize("name", ["state", "memory0"])
def test_a_foreign_snapshot_is_replaced_with_one_note(
    env: Environment, notes: Notes, name: str
) -> None:
    """Its seals are right, and its content is that of another guest."""
    used(env, replace(GUEST, numa="1", memory=96))
    other = snapshot_of(env)
    moved = other.rename(other.with_name(".other"))
    used(env)
    spoiled = snapshot_of(env)
    foreign = (moved / name).read_bytes()
    (spoiled / name).write_bytes(foreign)
    manifest = json.loads((spoiled / "manifest.json").read_text())
    rows = json.loads((moved / "manifest.json").read_text())["files"]
    (row,) = (row for row in rows if row["name"] == name)
    manifest["files"] = [each for each in manifest["files"] if each["name"] != name] + [row]
    (spoiled / "manifest.json").write_text(json.dumps(manifest))
    moved.rename(other)
    assert used(env).snapshot == ""
    assert len(notes.all) == 1
    assert used(env).snapshot == spoiled.name


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_leaves_no_snapshot_and_the_guest_goes_on(
    env: Environment, notes: Notes
) -> None:
    small = env.workspace.cache / "snapshots"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
    try:
        assert used(env).snapshot == ""
        assert [note for note in notes.all if "No space left" in note] == notes.all != []
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)


PROGRAM = """
from pathlib import Path
from harness.runs.environment import Environment
from harness.runs.guests import GuestRequest
from harness.runs.session import SessionRequest, open_session
from harness.source.request import KernelRequest
guest = GuestRequest(numa="2", accelerator="tcg", memory=64, snapshot=True)
with open_session(SessionRequest(KernelRequest("embedded"), guest), Environment.of_user()) as made:
    made.run("true")
"""


def is_saving(home: Home) -> bool:
    return any(home.cache.glob("scratch/snapshot*/state"))


def is_restoring(home: Home) -> bool:
    return any("-incoming" in words for words in map(_words, home.processes()))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("moment", [is_saving, is_restoring])
def test_a_killed_harness_leaves_nothing(
    home: Home, env: Environment, moment: Callable[[Home], bool]
) -> None:
    if moment is is_restoring:
        used(env)
    started = subprocess.Popen([sys.executable, "-c", PROGRAM], env=dict(home.env))
    deadline = time.monotonic() + SECONDS
    while not moment(home):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(GLANCE)
    started.send_signal(signal.SIGKILL)
    started.wait()
    home.wait_until_nothing_runs()
    used(env)
    assert used(env).snapshot == snapshot_of(env).name
