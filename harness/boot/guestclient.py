"""Somebody who works with a guest that has come up, over its second serial port."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from harness.guest.serialtap import Detached, Tap

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.host.progress import Progress

#: Seconds after which a client notices at the latest that its guest is gone.
_TICK = 0.25


class GuestClient(Protocol):
    """What works with a guest; ``harness.check`` has one."""

    @property
    def module(self) -> str:
        """The subsystem whose check module it talks to."""
        ...

    def work(self, channel: Tap, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Until the work is done, whatever the guest answers.

        ``time`` tells how long the guest has had for an answer: only that is its fault. Reading
        from the channel gives no bytes at the guest's end, and raises ``Detached`` when the guest
        is to be ended.
        """
        ...


class ClientSession:
    """A client at work in a thread of its own, while others listen to the console.

    Args:
        client: who works.
        channel: our end of the guest's second serial port.
    """

    def __init__(self, client: GuestClient, channel: Tap) -> None:
        self._client = client
        self._line = _Line(channel)
        self._thread: threading.Thread | None = None
        self._raised: BaseException | None = None

    @property
    def begun(self) -> bool:
        """Whether it has been begun."""
        return self._thread is not None

    @property
    def busy(self) -> bool:
        """Whether it has been begun and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Start the work: the guest has come up, and this is what it says of itself."""
        self._thread = threading.Thread(
            target=self._work, args=(report, progress, time), daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Let the client go, and wait for it; raises what it raised."""
        self._line.closed.set()
        if self._thread is not None:
            self._thread.join()
        if self._raised is not None:
            raise self._raised

    def _work(self, report: GuestReport, progress: Progress, time: Clock) -> None:
        try:
            self._client.work(self._line, report, progress, time)
        except Detached:
            pass
        except BaseException as error:  # told in the thread that waits for it
            self._raised = error


class _Line:
    """A tap that its reader must leave when it is closed; see ``Tap``."""

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
