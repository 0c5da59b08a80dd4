"""What one boot has to do with a ready snapshot: it starts from one, or leaves one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.boot.restoring import NotRestoredError
from harness.boot.snapshots import (
    ReadySnapshot,
    SnapshotCache,
    renew,
    restored,
    shared_ram,
)
from harness.boot.snapshotsaver import SnapshotSaver
from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.console.events import Event
    from harness.guest.backend import Guest
    from harness.guest.serialtap import SerialPort
    from harness.guest.spec import GuestSpec
    from harness.host.clock import Clock
    from harness.host.progress import Progress


@dataclass(slots=True)
class SnapshotUse:
    """The snapshot of one boot.

    Args:
        spec: the guest to start.
        key: the snapshot's key.
        cache: the cache.
        snapshot: what the guest is restored from; None: it is saved once it is up.

    Attributes:
        proven: whether the guest has reported in this boot, so that it counts.
        done: whether it was proven, and saved if it was to be.
    """

    spec: GuestSpec
    key: str
    cache: SnapshotCache
    snapshot: ReadySnapshot | None
    proven: bool = False
    done: bool = False
    _saver: SnapshotSaver | None = None

    @property
    def restores(self) -> bool:
        """Whether the guest is restored."""
        return self.snapshot is not None

    @contextmanager
    def attached(
        self, channel: SerialPort | None, clock: Clock, progress: Progress, slowness: float,
        warm_up: Callable[[Clock], None],
    ) -> Iterator[None]:  # fmt: skip
        """Save the guest within the context, if it is to be; see ``SnapshotSaver``."""
        if self.restores or channel is None:
            yield
            return
        with self.cache.workspace.scratch("snapshot") as scratch:
            self._saver = SnapshotSaver(
                clock, channel, self.spec, self.key, self.cache, scratch, progress, slowness,
                lambda: warm_up(clock),
            )  # fmt: skip
            try:
                yield
            finally:
                self._saver.finish()

    def begin(self, channel: SerialPort | None, nonce: str, clock: Clock) -> None:
        """Let a restored guest prove itself; it was just continued."""
        if self.restores and channel is not None:
            renew(channel, nonce, clock)

    def proceed(self, guest: Guest, events: Collection[Event], nonce: str) -> None:
        """Save the guest, which is up and proven, if it is to be; called until that is done."""
        self.proven = True
        if self._saver is not None:
            self._saver.look(guest, events, nonce)
        self.done = self._saver is None or self._saver.done

    def require_proven(self, why: str) -> None:
        """Check that a restored guest has proved itself, before it counts.

        Raises:
            NotRestoredError: it has not; ``why`` says how it ended.
        """
        if self.restores and not self.proven:
            raise NotRestoredError(f"the guest did not come back from its snapshot: {why}")


@contextmanager
def snapshot_use(
    spec: GuestSpec, key: str, cache: SnapshotCache, progress: Progress, *, restore: bool
) -> Iterator[SnapshotUse]:
    """Yield the use that a guest makes of the snapshot with a key.

    Args:
        spec: the guest.
        key: the key.
        cache: the cache.
        progress: receives a note about a damaged snapshot.
        restore: False: boot, and replace the snapshot.

    Raises:
        NotRestoredError: the guest could not be restored; its snapshot is removed.
        InfraError: the host has no memory for the guest.
    """
    with ExitStack() as held:
        shared = held.enter_context(shared_ram(spec))
        snapshot = held.enter_context(cache.opened(key, progress)) if restore else None
        use = SnapshotUse(shared, key, cache, snapshot)
        try:
            if snapshot is not None:
                progress.stage("restore")
                use.spec = restored(shared, snapshot)
            try:
                yield use
            except InfraError as error:
                use.require_proven(error.message)
                raise
        except NotRestoredError:
            held.close()
            cache.discard(key)
            raise
