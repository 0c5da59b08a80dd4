"""The user's terminal, connected to a guest's serial console."""

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
from harness.guest.tap import Detached, Tap

LEAVE = b"\x1d"
"""Ctrl-], as telnet(1) and virsh(1) have it."""

UNFILTERED = "whose escape sequences this terminal obeys"
"""What a user is told before a terminal is a guest's."""

_CHUNK = 4096

#: Ends what colours, hidden cursor or other screen a guest's words have left behind.
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
        """The user's.

        Raises:
            UsageError: there is none.
        """
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                "--interactive needs a terminal, and standard input or output is none",
                remedy="leave it out, or run it in a terminal",
            )
        return cls(announce)

    @contextlib.contextmanager
    def attached(self, tap: Tap) -> Iterator[Tap]:
        """See ``harness.boot.listen.Terminal``."""
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
    """A tap whose reader lets the user read and type as well."""

    tap: Tap
    keyboard: int
    screen: Sink

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``.

        Raises:
            Detached: the user has left.
        """
        del also
        # Before reading, or what has been read would be lost when the user leaves.
        self._type()
        data = self.tap.read(timeout, self.keyboard)
        if data:
            self.screen.write(data)
        return data

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
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
