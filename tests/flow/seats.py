"""A user at a terminal, played through a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from command import HEEDS_HANGUP, SECONDS, Home


@dataclass
class Seat:
    """A terminal with a harness in it."""

    master: int
    slave: int
    popen: subprocess.Popen[bytes]
    seen: str = ""
    before: list[Any] = field(default_factory=list)

    def wait_for(self, text: str) -> None:
        while text not in self.seen:
            assert select.select([self.master], [], [], SECONDS)[0], self.seen
            self.seen += os.read(self.master, 1 << 16).decode("utf-8", "replace")

    def end(self) -> int:
        """Reads on until the harness ends; gives its exit status."""
        while self.popen.poll() is None:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 1 << 16).decode("utf-8", "replace")
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 1 << 16).decode("utf-8", "replace")
        return self.popen.returncode

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before


@contextlib.contextmanager
def seated(guest_home: Home, *words: str) -> Iterator[Seat]:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)

    def take_terminal() -> None:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    popen = subprocess.Popen(
        [*HEEDS_HANGUP, *words], cwd=guest_home.directory, env={**guest_home.env, "TERM": "xterm"},
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=take_terminal,  # noqa: PLW1509 - before any thread of this test
    )  # fmt: skip
    seat = Seat(master, slave, popen, before=before)
    try:
        yield seat
    finally:
        popen.kill()
        popen.wait()
        for end in (seat.master, seat.slave):
            with contextlib.suppress(OSError):
                os.close(end)
