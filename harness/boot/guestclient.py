"""A client of a booted guest, on its second serial port."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from harness.guest.serialtap import Detached, Tap

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.host.progress import Progress

#: Most seconds after which a client notices that its guest has ended.
_TICK = 0.25


class GuestClient(Protocol):
    """Works with a guest; ``harness.check`` implements it."""

    @property
    def module(self) -> str:
        """Name of the subsystem whose check module it uses; empty for none."""
        ...

    @property
    def tunables(self) -> Mapping[str, str]:
        """Kernel environment of its guest, by name."""
        ...

    def stop(self) -> None:
        """End the work, which another thread does, and which may not have started."""
        ...

    def work(self, channel: Tap, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Work with the guest until all is done.

        ``time`` measures how long the guest could run; limits on answers use it. A read from the
        channel returns no bytes at the guest's end, and raises ``Detached`` when the guest is to be
        ended.
        """
        ...


class ClientSession:
    """Runs a client in a thread of its own, while others read the console.

    Args:
        client: the client.
        channel: the harness's end of the guest's second serial port.
    """

    def __init__(self, client: GuestClient, channel: Tap) -> None:
        self._client = client
        self._line = _Line(channel)
        self._thread: threading.Thread | None = None
        self._raised: BaseException | None = None

    @property
    def begun(self) -> bool:
        """Whether the client has started."""
        return self._thread is not None

    @property
    def busy(self) -> bool:
        """Whether the client has started and not ended."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Start the client; the guest is up and has printed ``report``."""
        self._thread = threading.Thread(
            target=self._work, args=(report, progress, time), daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Stop the client and wait for it; raise its exception, if any."""
        self._line.closed.set()
        self._client.stop()
        if self._thread is not None:
            self._thread.join()
        if self._raised is not None:
            raise self._raised

    def _work(self, report: GuestReport, progress: Progress, time: Clock) -> None:
        try:
            self._client.work(self._line, report, progress, time)
        except Detached:
            pass
        except BaseException as error:  # raised in the thread that waits for it
            self._raised = error


class _Line:
    """A tap whose reader is interrupted when it is closed; see ``Tap``."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self.closed = threading.Event()

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``."""
        if self.closed.is_set():
            raise Detached
        return self._tap.read(min(timeout, _TICK), also)

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        self._tap.write(data)
