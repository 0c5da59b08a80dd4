"""Files that move from one host of a group to others, through the group's database.

A host sends a file in parts of 1 MiB, under its own name and the file's SHA-256; another one
fetches it from the host that its order names, and checks size and SHA-256. What was sent or fetched
before a connection was lost is not sent or fetched again.

Why through the database: a host then needs no other port, user or certificate than it has, and
row security holds who may write what. A kernel of 13.2 with KASAN (39 MiB with debug information,
15 MiB compressed) was sent in 4.8 s and fetched in 2.2 s on a host of 2 cores at load 28, the
server on it, too; cp(1) took 0.1 s. Either is little beside a build of minutes.

The table is not logged, so that kernels are in no backup and no replica; a server that crashes
loses them, and they are sent again.
"""

from __future__ import annotations

import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from harness.errors import InfraError
from harness.group.session import WorkerSession
from harness.host.seal import Seal, damage
from harness.host.workspace import host_refused, make_directory

if TYPE_CHECKING:
    from pathlib import Path

    from harness.history.url import DatabaseUrl
    from harness.host.clock import Clock

T = TypeVar("T")

PART: Final = 1 << 20
"""Bytes of a part before compression; the last one of a file may have fewer."""

PARTS: Final = 2048
"""Parts that a host has in the database at most: 2 GiB. The server holds it to that."""

#: Compression: higher levels take three times as long, for a tenth less.
_LEVEL: Final = 1

#: Seconds without progress after which a server that is away is given up.
_PATIENCE: Final = 300.0

#: Seconds after which what was fetched of a file is of no use any more.
_STALE: Final = 86400.0


class NotSentError(InfraError):
    """A part of a file is not in the database."""


class WrongFileError(InfraError):
    """What a host sent is not the file that it announced."""


@dataclass(slots=True)
class GroupFiles:
    """Sends and fetches files for one host. For one thread.

    Args:
        url: the database, with the worker's role.
        host: name of the host.
        clock: measures time.
    """

    url: DatabaseUrl
    host: str
    clock: Clock
    _session: WorkerSession = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._session = WorkerSession(self.url)

    def send(self, files: Iterable[tuple[Path, Seal]]) -> int:
        """Send what others do not have of files; return how many parts that were.

        The oldest files of this host are removed from the database if there is no room for them.

        Raises:
            InfraError: a file cannot be read, is too large, or the server does not come back.
            UsageError: the server refuses it.
        """
        wanted = list(files)
        parts = sum(_parts(seal) for _, seal in wanted)
        if parts > PARTS:
            raise InfraError(f"{parts} MiB of files are more than the {PARTS} that a host may send")
        self._patiently(lambda: self._make_room(parts, {seal.sha256 for _, seal in wanted}))
        return sum(self._send(path, seal) for path, seal in wanted)

    def fetch(self, sender: str, seal: Seal, directory: Path) -> Path:
        """Return a file of another host, whole and checked, in a directory for such files.

        Args:
            sender: name of the host that sent it.
            seal: what the file must be.
            directory: where it is written; parts of an earlier attempt are used.

        Raises:
            NotSentError: a part is missing.
            WrongFileError: it is another file.
            InfraError: it cannot be written, or the server does not come back.
        """
        make_directory(directory)
        path = directory / f".{seal.sha256}"
        _remove_stale(directory)
        try:
            with path.open("ab") as file:
                known = file.tell() // PART * PART if file.tell() <= seal.size else 0
                file.truncate(known)
                for number in range(known // PART, _parts(seal)):
                    data = self._patiently(lambda at=number: self._part(sender, seal, at))  # type: ignore[misc]
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise host_refused(path, error) from error
        wrong = damage(path, seal)
        if wrong:
            path.unlink(missing_ok=True)
            raise WrongFileError(f"{sender} sent another {seal.name} than it announced: {wrong}")
        return path

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _make_room(self, parts: int, kept: set[str]) -> None:
        with self._session.cursor("send files to") as cursor:
            rows = cursor.execute(
                "SELECT sha256, count(*) FROM file_parts WHERE host = %s GROUP BY sha256 "
                "ORDER BY max(sent)", (self.host,),
            ).fetchall()  # fmt: skip
            others = [(sha256, count) for sha256, count in rows if sha256 not in kept]
            excess = parts + sum(count for _, count in others) - PARTS
            for sha256, count in others:
                if excess <= 0:
                    break
                excess -= count
                cursor.execute(
                    "DELETE FROM file_parts WHERE host = %s AND sha256 = %s", (self.host, sha256)
                )

    def _send(self, path: Path, seal: Seal) -> int:
        sent = 0
        there = self._patiently(lambda: self._sent(seal))
        try:
            with path.open("rb") as file:
                for number in range(_parts(seal)):
                    if number in there:
                        continue
                    file.seek(number * PART)
                    data = zlib.compress(file.read(PART), _LEVEL)
                    self._patiently(lambda at=number, part=data: self._write(seal, at, part))  # type: ignore[misc]
                    sent += 1
        except OSError as error:
            raise InfraError(f"cannot read {path}: {error.strerror}") from error
        return sent

    def _sent(self, seal: Seal) -> frozenset[int]:
        with self._session.cursor("send files to") as cursor:
            rows = cursor.execute(
                "SELECT number FROM file_parts WHERE host = %s AND sha256 = %s",
                (self.host, seal.sha256),
            )
            return frozenset(int(number) for (number,) in rows)

    def _write(self, seal: Seal, number: int, data: bytes) -> None:
        with self._session.cursor("send files to") as cursor:
            cursor.execute(
                "INSERT INTO file_parts (host, sha256, number, data, sent) "
                "VALUES (%s, %s, %s, %s, localtimestamp) ON CONFLICT DO NOTHING",
                (self.host, seal.sha256, number, data), binary=True,
            )  # fmt: skip

    def _part(self, sender: str, seal: Seal, number: int) -> bytes:
        """Return a part, decompressed.

        Raises:
            NotSentError: it is not there.
            WrongFileError: it has another size.
        """
        with self._session.cursor("fetch files from") as cursor:
            found = cursor.execute(
                "SELECT data FROM file_parts WHERE host = %s AND sha256 = %s AND number = %s",
                (sender, seal.sha256, number), binary=True,
            ).fetchone()  # fmt: skip
        if found is None:
            raise NotSentError(f"part {number} of {seal.name} is not there any more")
        size = min(PART, seal.size - number * PART)
        reader = zlib.decompressobj()
        try:
            data = reader.decompress(found[0], size + 1)
        except zlib.error as error:
            raise WrongFileError(f"{sender} sent a damaged part of {seal.name}: {error}") from error
        if len(data) != size or not reader.eof:
            raise WrongFileError(f"{sender} sent a part of {seal.name} that has another size")
        return data

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do something; again if the server is away, until it does not come back."""
        deadline = self.clock.monotonic() + _PATIENCE
        while True:
            try:
                return work()
            except (NotSentError, WrongFileError):
                raise
            except InfraError:
                if self.clock.monotonic() > deadline:
                    raise
            self.clock.sleep(1.0)


def require_room(directory: Path, files: Iterable[Seal]) -> None:
    """Check that the file system of a directory has room for files, twice.

    Raises:
        InfraError: it has not.
    """
    make_directory(directory)
    size = sum(seal.size for seal in files)
    free = shutil.disk_usage(directory).free
    if free < 2 * size:
        raise InfraError(
            f"there is no room for {size >> 20} MiB of another host's files: "
            f"{directory} has {free >> 20} MiB",
            remedy="free disk space, for example: harness gc --limit 10G",
        )


def _parts(seal: Seal) -> int:
    return -(-seal.size // PART)


def _remove_stale(directory: Path) -> None:
    """Remove what was fetched of files long ago."""
    for path in directory.glob(".*"):
        try:
            if path.is_file() and path.stat().st_mtime < time.time() - _STALE:
                path.unlink()
        except OSError:
            continue
