"""Saves a guest as a ready snapshot, while others listen to its console."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.boot.snapshots import DISK, STATE, SnapshotCache, memory_name
from harness.check.channel import find_greeting
from harness.check.protocol import MAX_LINE, line
from harness.console.events import LoginPrompt, ProbeRecord
from harness.errors import InfraError
from harness.guest.migration import save_state
from harness.host.sharedmemory import pack_memory
from harness.host.workspace import host_error
from harness.shell.shell import ShellError

if TYPE_CHECKING:
    from harness.console.events import Event
    from harness.guest.backend import Guest
    from harness.guest.qmp import Monitor
    from harness.guest.serialtap import SerialPort
    from harness.guest.spec import GuestSpec
    from harness.host.clock import Clock
    from harness.host.progress import Progress

_HELLO_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 10.0
"""Timeout of the guest's answer on a fast accelerator."""


def can_renew(events: Iterable[Event], nonce: str) -> bool:
    """Return whether the guest's report says that it obeys ``renew``; older worlds do not."""
    return any(
        isinstance(event, ProbeRecord)
        and (event.nonce, event.name) == (nonce, "begin")
        and ("renew", "1") in event.fields
        for event in events
    )


def awaits_login(events: Iterable[Event]) -> bool:
    """Return whether getty(8) waits at the console; when it starts, it drops what others print."""
    return any(isinstance(event, LoginPrompt) for event in events)


@dataclass(slots=True)
class SnapshotSaver:
    """Saves one guest, which is up, as soon as it answers on its second serial port.

    Args:
        clock: measures timeouts.
        channel: the guest's second serial port.
        spec: the guest, with shared memory.
        key: the snapshot's key.
        cache: the cache.
        scratch: a directory for its files, until they are stored.
        progress: receives a note if it fails, which is no failure of the boot.
        slowness: factor of timeouts, relative to a fast accelerator.
        warm_up: called in a thread before a guest with disks is saved: what it reads then, restored
            guests have in memory.

    Attributes:
        done: whether it was saved, or will not be.
    """

    clock: Clock
    channel: SerialPort
    spec: GuestSpec
    key: str
    cache: SnapshotCache
    scratch: Path
    progress: Progress
    slowness: float
    warm_up: Callable[[], None]
    done: bool = False
    _heard: bytes = b""
    _began: float | None = None
    _greeted: float = 0.0
    _greets: bool = False
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _warmed: Future[None] | None = None
    _stored: Future[None] | None = None

    def look(self, guest: Guest, events: Collection[Event], nonce: str) -> None:
        """Continue; called often until it is done. The guest is up and verified.

        Args:
            guest: the guest.
            events: of its console.
            nonce: its nonce.
        """
        if not can_renew(events, nonce):
            self._give_up(
                "its world was made by an older harness; harness image build makes it anew"
            )
        elif self._answered() and (not self.spec.disks or self._warm(events)):
            self._attempt(lambda: self._save(guest))

    def finish(self) -> None:
        """Wait until the snapshot is stored."""
        stored = self._stored
        if stored is not None:
            self._attempt(stored.result)
        self._pool.shutdown()

    def _answered(self) -> bool:
        """Return whether the guest has answered: a process of its waits for ``renew``."""
        now = self.clock.monotonic()
        if self._began is None:
            self._began, self._greeted = now, now - _HELLO_SECONDS
        if self._warmed is None and now - self._began > _ANSWER_SECONDS * self.slowness:
            self._give_up("it does not answer on its second serial port, or has no login prompt")
            return False
        if self._greets:
            return True
        data = self.channel.read(0)
        if now - self._greeted >= _HELLO_SECONDS:
            self.channel.write(b"\n" + line(0, "hello"))
            self._greeted = now
        self._heard = (self._heard + (data or b""))[-4 * MAX_LINE :]
        self._greets = find_greeting(self._heard.rpartition(b"\n")[0]) is not None
        return self._greets

    def _warm(self, events: Collection[Event]) -> bool:
        """Return whether a guest with disks is warm; it must have come to the end of its boot."""
        if self._warmed is None and awaits_login(events):
            self._warmed = self._pool.submit(self.warm_up)
        if self._warmed is None or not self._warmed.done():
            return False
        try:
            self._warmed.result()
        except ShellError as error:
            self._give_up(f"it cannot be logged in to: {error}")
        return not self.done

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except InfraError as error:
            self._give_up(error.message)
        except OSError as error:
            self._give_up(host_error(error).message)

    def _give_up(self, why: str) -> None:
        self.done = True
        self.progress.note(f"{self.spec.name}: the guest was not saved as a snapshot: {why}")

    def _save(self, guest: Guest) -> None:
        self.done = True
        monitor = guest.monitor
        if monitor is None:
            return
        self.progress.stage("snapshot")
        monitor.query("stop")
        try:
            files = self._captured(monitor)
        finally:
            monitor.query("cont")
        description = {
            "made": self.clock.now().isoformat(timespec="seconds"), "guest": self.spec.name,
            "qemu": monitor.query("query-version"),
        }  # fmt: skip
        self._stored = self._pool.submit(self._store, files, description)

    def _captured(self, monitor: Monitor) -> dict[str, Path]:
        """Write the files of a guest that is stopped."""
        state = self.scratch / STATE
        with state.open("wb") as file:
            save_state(monitor, file.fileno(), self.clock)
        files = {STATE: state}
        for node, descriptor in self.spec.ram.items():
            files[memory_name(node)] = memory = self.scratch / memory_name(node)
            pack_memory(descriptor, memory)
        for disk in self.spec.disks[:1]:
            files[DISK] = self.scratch / DISK
            shutil.copyfile(disk.path, files[DISK])
        return files

    def _store(self, files: dict[str, Path], description: dict[str, Any]) -> None:
        self.cache.store(self.key, files, description)
        for file in files.values():
            file.unlink()
