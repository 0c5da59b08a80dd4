"""The conversation at the serial console of an image that was made elsewhere. Pure.

An image lets the harness in as root without a password at the console, or runs what a config drive
tells it. Either ends with a line that proves itself by a nonce.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class WayIn(StrEnum):
    """How the harness got into an image."""

    CONSOLE = "console"
    """root has no password, and logs in at the serial console"""
    CONFIG_DRIVE = "config-drive"
    """nuageinit(7) runs the user data of a config drive"""


_LOGIN = re.compile(rb"login: ?\Z")
_PASSWORD = re.compile(rb"[Pp]assword: ?\Z")
_PROMPT = re.compile(rb"[#%$>] ?\Z")
_SINGLE_USER: Final = b"Enter full pathname of shell or RETURN for"

_KEPT: Final = 4096
"""How much of the end of the console's output is searched, in bytes."""


@dataclass(slots=True)
class FirstLogin:
    """What is typed at a console, and what comes of it.

    Args:
        nonce: proves the lines that the guest prints.
        command: typed at root's prompt.

    Attributes:
        way: how the harness got in; None before that.
        refusal: why it does not get in; empty while it may.
    """

    nonce: str
    command: str
    way: WayIn | None = None
    refusal: str = ""
    _tail: bytes = b""
    _typed: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the conversation is over."""
        return self.way is not None or bool(self.refusal)

    def feed(self, data: bytes) -> bytes:
        """Take what the console printed; return what is typed then."""
        self._tail = (self._tail + data)[-_KEPT:]
        found = re.search(
            rb"@harness-import %s (done|failed)(?: ([a-z-]+))?\." % self.nonce.encode(), self._tail
        )
        if found:
            self._conclude(found[1] == b"done", found[2] or b"")
        elif _SINGLE_USER in self._tail:
            self.refusal = "it stopped in single-user mode"
        elif not self._typed and _LOGIN.search(self._tail):
            return self._type("root")
        elif self._typed == ["root"]:
            return self._answer()
        return b""

    def _answer(self) -> bytes:
        """Return what is typed after root's name."""
        if _PASSWORD.search(self._tail):
            self.refusal = "root has a password, and no config drive was read"
        elif _LOGIN.search(self._tail):
            self.refusal = "root cannot log in at the console, and no config drive was read"
        elif _PROMPT.search(self._tail):
            return self._type(self.command)
        return b""

    def _type(self, line: str) -> bytes:
        self._typed.append(line)
        self._tail = b""
        return f"{line}\r".encode()

    def _conclude(self, done: bool, way: bytes) -> None:
        known = [each for each in WayIn if each.value.encode() == way]
        if done and known:
            self.way = known[0]
        else:
            self.refusal = "the harness's files could not be added to it"
