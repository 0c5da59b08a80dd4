"""When a guest is saved as a snapshot, and when one that was restored does not count."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from guest_specs import guest_spec
from proofs import NONCE, events_of, report

from harness.boot.restoring import NotRestoredError
from harness.boot.snapshots import SnapshotCache
from harness.boot.snapshotsaver import SnapshotSaver, awaits_login, can_renew
from harness.boot.snapshotuse import SnapshotUse, snapshot_use
from harness.check.protocol import line
from harness.console.events import Event, LoginPrompt
from harness.errors import InfraError
from harness.guest.devices import GuestDisk
from harness.host.clock import ManualClock
from harness.host.progress import Recorded
from harness.host.sharedmemory import can_share_memory
from harness.host.workspace import Workspace
from harness.shell.shell import ShellError

RENEWS = events_of(report(begin="version=2 guest=freebsd renew=1"))
KEY = "k" * 40


@dataclass
class Channel:
    """A second serial port that answers or does not."""

    answer: bytes = b""
    wrote: bytes = b""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        del timeout, also
        return self.answer or None

    def write(self, data: bytes) -> None:
        self.wrote += data

    def fileno(self) -> None:
        return


Make = Callable[..., SnapshotSaver]


@pytest.fixture
def cache(tmp_path: Path) -> SnapshotCache:
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")
    return SnapshotCache(workspace, limit=1 << 30)


@pytest.fixture
def saver(cache: SnapshotCache, tmp_path: Path) -> Iterator[Make]:
    made: list[SnapshotSaver] = []

    def make(
        channel: Channel, *, disk: bool = False, warm_up: Callable[[], None] = lambda: None
    ) -> SnapshotSaver:
        disks = (GuestDisk(tmp_path / "disk", read_only=False),) if disk else ()
        one = SnapshotSaver(
            ManualClock(), channel, guest_spec(disks=disks), KEY, cache, tmp_path, Recorded(),
            1.0, warm_up,
        )  # fmt: skip
        made.append(one)
        return one

    yield make
    for each in made:
        each.finish()


def notes(saver: SnapshotSaver) -> list[str]:
    assert isinstance(saver.progress, Recorded)
    return saver.progress.notes


class Gone:
    """A guest without a monitor, as one that has ended."""

    monitor = None


GUEST = cast("Any", Gone())


def test_only_a_report_of_this_boot_says_that_a_guest_can_renew() -> None:
    assert can_renew(RENEWS, NONCE)
    assert not can_renew(RENEWS, "f" * 16)
    assert not can_renew(events_of(report()), NONCE)
    assert not can_renew([], NONCE)


def test_a_login_prompt_is_waited_for() -> None:
    assert awaits_login([*RENEWS, LoginPrompt(0)])
    assert not awaits_login(RENEWS)


def test_a_guest_of_an_older_world_is_not_saved(saver: Make) -> None:
    one = saver(Channel())
    one.look(GUEST, events_of(report()), NONCE)
    assert one.done
    assert "harness image build makes it anew" in notes(one)[0]


def test_a_guest_is_greeted_every_two_seconds_until_it_has_not_answered_in_ten(
    saver: Make,
) -> None:
    channel = Channel()
    one = saver(channel)
    while not one.done:
        one.look(GUEST, RENEWS, NONCE)
        one.clock.sleep(0.5)
    assert 5 <= channel.wrote.count(b"hello") <= 6
    assert "does not answer on its second serial port" in notes(one)[0]


def test_a_slow_accelerator_gets_more_time(saver: Make) -> None:
    one = saver(Channel())
    one.slowness = 4.0
    for _ in range(39):
        one.look(GUEST, RENEWS, NONCE)
        one.clock.sleep(1.0)
    assert not one.done


def answering() -> Channel:
    return Channel(line(0, "hello"))


def test_a_guest_that_answers_is_saved(saver: Make) -> None:
    """This one has ended meanwhile, so nothing is."""
    one = saver(answering())
    one.look(GUEST, RENEWS, NONCE)
    assert (one.done, notes(one)) == (True, [])


def test_what_the_host_lacks_is_a_note_and_no_failure_of_the_boot(saver: Make) -> None:
    class Refuses:
        def query(self, *_: object, **__: object) -> None:
            raise InfraError("QEMU has exited")

    one = saver(answering())
    one.look(cast("Any", SimpleNamespace(monitor=Refuses())), RENEWS, NONCE)
    assert one.done
    assert "QEMU has exited" in notes(one)[0]


def until_done(one: SnapshotSaver, events: list[Event]) -> None:
    while not one.done:
        one.look(GUEST, events, NONCE)
        threading.Event().wait(0.001)


def test_a_guest_with_a_disk_is_logged_in_to_once_first(saver: Make) -> None:
    logins: list[int] = []
    one = saver(answering(), disk=True, warm_up=lambda: logins.append(1))
    one.look(GUEST, RENEWS, NONCE)
    assert (one.done, logins) == (False, [])
    until_done(one, [*RENEWS, LoginPrompt(0)])
    assert (logins, notes(one)) == ([1], [])


def test_a_guest_that_lets_nobody_in_is_not_saved(saver: Make) -> None:
    def refused() -> None:
        raise ShellError("wrong key")

    one = saver(answering(), disk=True, warm_up=refused)
    until_done(one, [*RENEWS, LoginPrompt(0)])
    assert "it cannot be logged in to: wrong key" in notes(one)[0]


# --- the use that a boot makes of a snapshot --------------------------------------------------


def test_a_restored_guest_counts_only_if_it_has_proved_itself(cache: SnapshotCache) -> None:
    use = SnapshotUse(guest_spec(), KEY, cache, cast("Any", "a snapshot"))
    with pytest.raises(NotRestoredError, match="did not come back from its snapshot: it hangs"):
        use.require_proven("it hangs")
    use.proceed(GUEST, RENEWS, NONCE)
    use.require_proven("it hangs")
    assert use.done


def test_a_guest_that_boots_needs_no_proof_to_fail(cache: SnapshotCache) -> None:
    use = SnapshotUse(guest_spec(), KEY, cache, None)
    use.require_proven("it hangs")
    assert not use.restores


def test_a_restored_guest_renews_and_one_that_boots_does_not(cache: SnapshotCache) -> None:
    channel, clock = Channel(), ManualClock()
    use = SnapshotUse(guest_spec(), KEY, cache, None)
    use.begin(channel, NONCE, clock)
    assert channel.wrote == b""
    replace(use, snapshot=cast("Any", "a snapshot")).begin(channel, NONCE, clock)
    assert b" renew nonce=" in channel.wrote


def test_nothing_is_saved_of_a_guest_without_a_second_port(cache: SnapshotCache) -> None:
    use = SnapshotUse(guest_spec(), KEY, cache, None)
    with use.attached(None, ManualClock(), Recorded(), 1.0, lambda _: None):
        use.proceed(GUEST, RENEWS, NONCE)
    assert use.done


@pytest.mark.skipif(not can_share_memory(), reason="this host has no memfd_create(2)")
def test_a_guest_that_is_not_restored_takes_its_snapshot_with_it(cache: SnapshotCache) -> None:
    cache.directory(KEY).mkdir(parents=True)

    def refused() -> None:
        with snapshot_use(guest_spec(), KEY, cache, Recorded(), restore=False) as use:
            use.snapshot = cast("Any", "a snapshot")
            raise InfraError("QEMU refuses the state")

    with pytest.raises(NotRestoredError):
        refused()
    assert not cache.directory(KEY).exists()


@pytest.mark.skipif(not can_share_memory(), reason="this host has no memfd_create(2)")
def test_a_failure_of_a_guest_that_was_booted_is_the_hosts(cache: SnapshotCache) -> None:
    with (
        pytest.raises(InfraError, match="no QEMU"),
        snapshot_use(guest_spec(), KEY, cache, Recorded(), restore=False),
    ):
        raise InfraError("no QEMU")
