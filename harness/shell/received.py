"""Files that a guest sends: written where nothing leads out, and put in place when complete.

Everything is hostile: names, links, kinds, sizes and numbers of files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final

from harness.host.workspace import unique
from harness.shell.shell import ShellDataError

Parts = tuple[str, ...]
"""A path below what is copied; empty for itself."""


@dataclass(frozen=True, slots=True)
class ReceiveLimits:
    """Most that one copy from a guest may be.

    Args:
        size: bytes of all files together.
        entries: files, directories and links.
        depth: directories below each other.
    """

    size: int = 4 << 30
    entries: int = 200_000
    depth: int = 64


USUAL_RECEIVE_LIMITS: Final = ReceiveLimits()


class ReceivedTree:
    """Collects a file or a directory beside ``target``, and then takes its place.

    A file replaces another file. A directory replaces an empty one only. Owners, times and all
    modes but a file's executability are left out.

    Args:
        source: its name in the guest, for messages.
        target: where it goes; the directory above must exist.
        limits: the most to take.
    """

    def __init__(self, source: PurePosixPath, target: Path, limits: ReceiveLimits) -> None:
        self._source = source
        self._target = target
        self._limits = limits
        self._stage = target.with_name(f".{target.name}.{unique()}.tmp")
        self._top = self._stage / "received"
        self._links: dict[Parts, str] = {}
        self._entries = 0
        self._left = limits.size

    def __enter__(self) -> ReceivedTree:
        self._stage.mkdir(mode=0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._stage, ignore_errors=True)

    def finish(self) -> None:
        """Put what was received in its place.

        Raises:
            OSError: the place is taken or cannot be written.
        """
        for parts, leads_to in self._links.items():
            with self._once(parts):
                self._path(parts).symlink_to(leads_to)
        self._top.replace(self._target)

    def directory(self, parts: Parts) -> None:
        """Create a directory.

        Raises:
            ShellDataError: see ``file``.
            OSError: it cannot be created.
        """
        self._count(parts)
        with self._once(parts):
            self._path(parts).mkdir(mode=0o755)

    def link(self, parts: Parts, leads_to: str) -> None:
        """Remember a symbolic link, which is created when nothing can be written through it.

        Raises:
            ShellDataError: it may lead out of what is copied.
        """
        self._count(parts)
        words = leads_to.split("/")
        names = words[:]
        while names and names[0] == "..":
            del names[0]
        climbs = len(words) - len(names)
        if not leads_to or ".." in names or names[:1] == [""] or climbs > len(parts) - 1:
            raise self._refused(parts, f"is a link to {leads_to!r}, which may lead out")
        if parts in self._links:
            raise self._refused(parts, "was sent twice")
        self._links[parts] = leads_to

    def second_name(self, parts: Parts, first: Parts) -> None:
        """Create another name of a file that was received before.

        Raises:
            ShellDataError: there is no such file, or see ``file``.
            OSError: it cannot be created.
        """
        self._count(parts)
        self._check(first)
        if not self._path(first).is_file():
            raise self._refused(parts, f"is a second name of {'/'.join(first)}, which is no file")
        with self._once(parts):
            self._path(parts).hardlink_to(self._path(first))

    @contextlib.contextmanager
    def file(self, parts: Parts, *, executable: bool) -> Iterator[Callable[[bytes], None]]:
        """Yield what writes a file's next bytes.

        Raises:
            ShellDataError: a bad name, a second file of that name, or a limit.
            OSError: the file cannot be written.
        """
        self._count(parts)
        path = self._path(parts)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._once(parts):
            descriptor = os.open(path, flags, 0o755 if executable else 0o644)

        def write(data: bytes) -> None:
            self._left -= len(data)
            if self._left < 0:
                raise self._refused(parts, f"exceeds the limit of {self._limits.size} bytes")
            written = 0
            while written < len(data):
                try:
                    written += os.write(descriptor, data[written:])
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(self._target)) from error

        try:
            yield write
            if not parts:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def refuse_kind(self, parts: Parts, mode: int) -> ShellDataError:
        """Return the error for a device, a pipe or a socket."""
        kinds: dict[int, str] = {
            stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe",
            stat.S_IFSOCK: "a socket",
        }  # fmt: skip
        kind = kinds.get(stat.S_IFMT(mode), "of an unknown kind")
        return self._refused(parts, f"is {kind}, not a file, a directory or a link")

    def require_room(self, more: int) -> None:
        """Check that ``more`` entries and another one can still come.

        Raises:
            ShellDataError: they exceed the limit.
        """
        if self._entries + more >= self._limits.entries:
            raise self._refused((), f"has more than {self._limits.entries} entries")

    def _count(self, parts: Parts) -> None:
        self.require_room(0)
        self._entries += 1
        self._check(parts)

    def _check(self, parts: Parts) -> None:
        if len(parts) > self._limits.depth:
            raise self._refused((), f"has more than {self._limits.depth} levels of directories")
        for name in parts:
            if name in {"", ".", ".."} or "/" in name or "\0" in name:
                raise self._refused((), f"has an entry with the name {name!r}")

    @contextlib.contextmanager
    def _once(self, parts: Parts) -> Iterator[None]:
        """Translate what a bad name does to the host's file system."""
        try:
            yield
        except FileExistsError:
            raise self._refused(parts, "was sent twice") from None
        except (NotADirectoryError, FileNotFoundError):
            raise self._refused(parts, "was sent without its directory") from None
        except (UnicodeError, ValueError) as error:
            raise self._refused(parts, f"has a name that this host cannot have: {error}") from None
        except OSError as error:
            if error.errno in {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}:
                why = f"has a name that this host cannot have: {error.strerror}"
                raise self._refused(parts, why) from None
            raise OSError(error.errno, error.strerror, str(self._target)) from error

    def _path(self, parts: Parts) -> Path:
        return self._top.joinpath(*parts)

    def _refused(self, parts: Parts, why: str) -> ShellDataError:
        return ShellDataError(f"the guest's {self._source.joinpath(*parts)} {why}")
