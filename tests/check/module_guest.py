"""The common part of fakes of a guest with a check module: lines, numbers and checksums."""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from model_guest import said, unbatched


@dataclass(slots=True)
class ModuleGuest(ABC):
    """Answers commands as the check module does; a ``Tap``.

    Args:
        dies_after: number of commands after which it ends; None: never.
        commands: those that it was given.
    """

    dies_after: int | None = field(default=None, kw_only=True)
    commands: list[str] = field(default_factory=list, kw_only=True)
    _told: bytes = field(default=b"", kw_only=True)
    _heard: bytes = field(default=b"", kw_only=True)

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``."""
        told, self._told = self._told, b""
        if not told and self.dies_after is not None and len(self.commands) >= self.dies_after:
            return b""
        return told or None

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in (each for told in filter(None, lines) for each in unbatched(told.decode())):
            found = re.fullmatch(r"@harness ((\d{4}) (\w+) ?(.*)) \*([0-9a-f]{8})", line)
            assert found is not None
            assert zlib.crc32(found[1].encode()) == int(found[5], 16)
            if self.dies_after is not None and len(self.commands) >= self.dies_after:
                return
            self.commands.append(f"{found[3]} {found[4]}")
            fields = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", found[4])}
            self._told += said(f"{found[2]} {self.answer(found[3], fields)}")

    @abstractmethod
    def answer(self, name: str, fields: dict[str, int]) -> str:
        """Return the answer to a command, without number and checksum."""
