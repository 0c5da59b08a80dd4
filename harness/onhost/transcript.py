"""Transcripts: commands to a program whose answers agreed with the model.

The model in Python takes a hundred times as long as the code, and always gives the same results.
So the commands of a part of a check are cached with a checksum of the answers, which were compared
with the model field by field. A program with other answers is compared with the model again.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.host.cachesize import HOST_PROGRAMS
from harness.host.workspace import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.guest.serialtap import Tap
    from harness.host.workspace import Workspace

_FORM: Final = b"harness transcript 1\n"
_HEAD: Final = re.compile(rb"([0-9]{1,9}) ([0-9]{1,9}) ([0-9a-f]{8})\n", re.ASCII)
#: Bytes at the end of an answer that contain its own checksum.
_TAIL: Final = 9
_MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Transcript:
    """A part of a check.

    Args:
        operations: number of operations, all of which agreed.
        answers: number of answers, to all commands.
        digest: checksum of the answers.
        commands: all lines, in order.
    """

    operations: int
    answers: int
    digest: int
    commands: bytes

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        head = b"%d %d %08x\n" % (self.operations, self.answers, self.digest)
        body = head + self.commands
        return _FORM + zlib.compress(body + zlib.crc32(body).to_bytes(4, "big"))

    @classmethod
    def of_bytes(cls, data: bytes) -> Transcript | None:
        """Return the transcript of a file's content; None if it is corrupt or of another form."""
        if not data.startswith(_FORM):
            return None
        try:
            body = zlib.decompressobj().decompress(data[len(_FORM) :], _MOST_BYTES)
        except zlib.error:
            return None
        body, check = body[:-4], body[-4:]
        found = _HEAD.match(body)
        if found is None or zlib.crc32(body).to_bytes(4, "big") != check:
            return None
        return cls(int(found[1]), int(found[2]), int(found[3], 16), body[found.end() :])


@dataclass(slots=True)
class TranscriptRecorder:
    """A ``harness.guest.serialtap.Tap`` that records.

    Args:
        tap: the program's tap.
    """

    tap: Tap
    _commands: bytearray = field(default_factory=bytearray)
    _answers: int = 0
    _digest: int = 0
    _partial: bytes = b""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``."""
        data = self.tap.read(timeout, also)
        if data:
            *lines, self._partial = (self._partial + data).split(b"\n")
            for line in lines:
                self._answers += 1
                self._digest = zlib.crc32((line + b"\n")[-_TAIL:], self._digest)
        return data

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        self._commands += data
        self.tap.write(data)

    def transcript(self, operations: int) -> Transcript:
        """Return the transcript so far, with that number of operations."""
        return Transcript(operations, self._answers, self._digest, bytes(self._commands))


class TranscriptCache:
    """Transcripts in the workspace's cache; ``key`` is everything that they depend on."""

    def __init__(self, workspace: Workspace, key: Sequence[str]) -> None:
        name = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
        self._directory = workspace.cache / HOST_PROGRAMS / "transcripts" / name

    def find(self, part: int) -> Transcript | None:
        """Return the part of that number, if it is cached."""
        try:
            return Transcript.of_bytes(self._path(part).read_bytes())
        except OSError:
            return None

    def keep(self, part: int, transcript: Transcript) -> None:
        """Cache a part.

        Raises:
            InfraError: the disk is full.
        """
        write_atomic(self._path(part), transcript.to_bytes())

    def _path(self, part: int) -> Path:
        return self._directory / f"{part:06}"
