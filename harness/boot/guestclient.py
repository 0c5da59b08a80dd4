"""A client of a booted guest, on its second serial port or over SSH."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from harness.guest.serialtap import Detached, Tap

if TYPE_CHECKING:
    from pathlib import Path

    from harness.console.report import GuestReport
    from harness.guest.contact import Contact
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.shell.shell import Shell

#: Most seconds after which a client notices that its guest has ended.
_TICK = 0.25

#: Time limit of a sign of life on the console, in seconds in which the guest could run. The tty
#: echoes at once, unless the guest is as busy as it can be.
_ECHO_SECONDS = 30.0


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

    def work(self, contact: Contact, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Work with the guest until all is done.

        ``time`` measures how long the guest could run; limits on answers use it. A read from the
        contact's tap returns no bytes at the guest's end, and raises ``Detached`` when the guest is
        to be ended.
        """
        ...


class JudgedClient(GuestClient, Protocol):
    """A client whose work is a part of the verdict: a check, or a command."""

    @property
    def silence(self) -> tuple[str, str] | None:
        """Title and message if the guest stopped answering it; None if it did not."""
        ...

    def again(self, slower: float = 1.0) -> JudgedClient:
        """Return the same client for another guest, with timeouts ``slower`` times as long."""
        ...

    def into(self, directory: Path) -> GuestClient:
        """Keep its files in a directory, the cell's or the repeat's; return itself."""
        ...


class ClientSession:
    """Runs a client in a thread of its own, while others read the console.

    Args:
        client: the client.
        contact: the ways to the guest.
    """

    def __init__(self, client: GuestClient, contact: Contact) -> None:
        self._client = client
        self._line = _Line(contact.tap)
        self._contact = replace(contact, tap=self._line, answers=self._answers)
        self._asked = threading.Event()
        self._heard = threading.Event()
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

    def asks_for_life(self) -> bool:
        """Return, once, whether the client wants to know if the guest lives: type Enter."""
        asked = self._asked.is_set()
        self._asked.clear()
        return asked

    def console_printed(self) -> None:
        """Note that the console printed something."""
        self._heard.set()

    def begin(self, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Start the client; the guest is up and has printed ``report``."""
        self._thread = threading.Thread(
            target=self._work, args=(report, progress, time), daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Stop the client and wait for it; raise its exception, if any.

        One that has not begun can begin with another guest.
        """
        if self._thread is None:
            return
        self._line.closed.set()
        self._client.stop()
        self._thread.join()
        if self._raised is not None:
            raise self._raised

    def _answers(self, time: Clock) -> bool:
        """See ``Contact.answers``."""
        self._heard.clear()
        self._asked.set()
        until = time.monotonic() + _ECHO_SECONDS
        while time.monotonic() < until and not self._line.closed.is_set():
            if self._heard.wait(_TICK):
                return True
        return False

    def _work(self, report: GuestReport, progress: Progress, time: Clock) -> None:
        try:
            self._client.work(self._contact, report, progress, time)
        except Detached:
            pass
        except BaseException as error:  # raised in the thread that waits for it
            self._raised = error


@contextmanager
def accompanied(
    client: GuestClient | None, channel: Tap | None, shell: Callable[[Clock], Shell]
) -> Iterator[ClientSession | None]:
    """Run a client with its guest; at the end, stop it and wait for it.

    Args:
        client: the client; None for none.
        channel: the guest's second serial port, which it has if there is a client.
        shell: see ``Contact``.
    """
    if client is None or channel is None:
        yield None
        return
    from harness.guest.contact import Contact

    client_session = ClientSession(client, Contact(channel, shell))
    try:
        yield client_session
    finally:
        client_session.end()


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
