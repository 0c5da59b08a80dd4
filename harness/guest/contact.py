"""The ways to a guest that has booted: its second serial port, and SSH."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from harness.shell.shell import ShellLostError

if TYPE_CHECKING:
    from harness.guest.serialtap import Tap
    from harness.host.clock import Clock
    from harness.shell.shell import Shell


@dataclass(frozen=True, slots=True)
class Contact:
    """The ways to a guest.

    Args:
        tap: the harness's end of its second serial port.
        shell: returns a shell that has not logged in; its argument measures how long the guest
            could run. Raises ShellError if the guest has none.
        answers: types Enter at the console, and returns whether the guest printed anything; its
            argument measures its time limit.
    """

    tap: Tap
    shell: Callable[[Clock], Shell]
    answers: Callable[[Clock], bool] = lambda _: False


_SETTLE_SECONDS: Final = 3.0
"""Seconds that the console gets to tell why a connection was lost, before it is asked."""

_SHUTDOWN_SECONDS: Final = 15.0
"""Seconds in which a guest that answers may still end: shutdown(8) ends sshd first."""

_LOOK_SECONDS: Final = 0.25


@dataclass(slots=True)
class HeldShell:
    """The shell of a client, which another thread may end.

    Attributes:
        stopped: set when the client is to end.
    """

    stopped: threading.Event = field(default_factory=threading.Event)
    _shell: Shell | None = None

    @contextmanager
    def connected(self, contact: Contact, time: Clock) -> Iterator[Shell]:
        """Yield the shell after the login, and close it.

        Raises:
            ShellError: the guest does not let the harness in.
        """
        self._shell = shell = contact.shell(time)
        with closing(shell):
            if self.stopped.is_set():
                raise ShellLostError("the guest has ended")
            shell.connect()
            yield shell

    def stop(self) -> None:
        """End the shell, and with it what runs."""
        self.stopped.set()
        if self._shell is not None:
            self._shell.close()

    def is_told(self) -> bool:
        """Return whether the console tells why the connection was lost; waits a moment for it.

        Whoever listens to the console then ends the client.
        """
        return self.stopped.wait(_SETTLE_SECONDS)

    def lives(self, contact: Contact, time: Clock) -> bool:
        """Return whether the guest answers at its console, or the console has told its end.

        One that answers gets time to end: it may be shutting down.
        """
        if not contact.answers(time):
            return self.stopped.is_set()
        until = time.monotonic() + _SHUTDOWN_SECONDS
        while time.monotonic() < until and not self.stopped.is_set():
            time.sleep(_LOOK_SECONDS)
        return True
