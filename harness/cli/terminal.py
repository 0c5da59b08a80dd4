"""The user's terminal, attached to a guest's serial console."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.cli.streams import Sink
from harness.errors import UsageError
from harness.guest.serialtap import Detached, Tap

LEAVE = b"\x1d"
"""Ctrl-], as in telnet(1) and virsh(1)."""

UNFILTERED = "unfiltered, with its escape sequences"
"""A note that is printed before a terminal is attached."""

_CHUNK = 4096

#: Resets colours, cursor and screen, which a guest's output may have changed.
_SANE = b"\x1b[?1049l\x1b[?25h\x1b[0m\r\n"


@dataclass(frozen=True, slots=True)
class HostTerminal:
    """Standard input and output, each of them a terminal.

    Args:
        announce: called before the console is shown.
    """

    announce: Callable[[], None]

    @classmethod
    def of_user(cls, announce: Callable[[], None]) -> HostTerminal:
        """Return the user's terminal.

        Raises:
            UsageError: standard input or output is not a terminal.
        """
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                "--interactive requires a terminal as standard input and output",
                remedy="leave --interactive out, or run the command in a terminal",
            )
        return cls(announce)

    @contextlib.contextmanager
    def attached(self, tap: Tap) -> Iterator[Tap]:
        """Attach the terminal to a console within the context; yield the tap to read from."""
        self.announce()
        keyboard, screen = sys.stdin.fileno(), Sink(sys.stdout.fileno(), "the terminal")
        before = termios.tcgetattr(keyboard)
        try:
            tty.setraw(keyboard)
            yield AttachedTap(tap, keyboard, screen)
        finally:
            screen.write(_SANE)
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)


@dataclass(frozen=True, slots=True)
class AttachedTap:
    """A tap that also shows its data on the terminal and sends what the user types."""

    tap: Tap
    keyboard: int
    screen: Sink

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """Return the next data, after it was shown on the terminal.

        Raises:
            Detached: the user has detached.
        """
        del also
        # Before reading, so that no data is lost when the user detaches.
        self._type()
        data = self.tap.read(timeout, self.keyboard)
        if data:
            self.screen.write(data)
        return data

    def write(self, data: bytes) -> None:
        """Send data to the guest."""
        self.tap.write(data)

    def _type(self) -> None:
        if not select.select([self.keyboard], [], [], 0)[0]:
            return
        try:
            typed = os.read(self.keyboard, _CHUNK)
        except OSError:
            typed = b""
        before, leave, _ = typed.partition(LEAVE)
        if before:
            self.tap.write(before)
        if leave or not typed:
            raise Detached
