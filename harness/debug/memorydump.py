"""Memory dumps of guests: ELF core files that gdb opens."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.host.cachesize import format_size
from harness.host.workspace import host_refused

if TYPE_CHECKING:
    from harness.guest.qmp import Monitor

DUMP_FILE: Final = "memory.core"
"""Name of a dump in the directory of its cell."""

MIB: Final = 1 << 20

_MORE_BYTES: Final = 512 * MIB
"""What a machine has beside its memory: firmware, and what QEMU makes of it."""

_BLOCK: Final = 64 * 1024
_NAME: Final = "harness-dump"
_SECONDS: Final = 120.0
_SECONDS_PER_GIB: Final = 60.0
_TICK: Final = 0.25


@dataclass(frozen=True, slots=True)
class MemoryDump:
    """A memory dump in a cell's directory, or why there is none.

    Args:
        file: its name; empty if there is none.
        bytes: its size.
        disk: bytes that it takes on the disk; blocks of zeros take none.
        note: why there is no dump, or what is missing in it; empty if it is complete.
    """

    file: str = ""
    bytes: int = 0
    disk: int = 0
    note: str = ""


def check_room(directory: Path, memory_mib: int) -> None:
    """Check that the disk has room for a dump of a guest, if none of its memory is zero.

    Raises:
        InfraError: it does not.
    """
    free = shutil.disk_usage(directory).free
    wanted = memory_mib * MIB + _MORE_BYTES
    if free < wanted:
        raise InfraError(
            f"a memory dump of this guest can take {format_size(wanted)}, and {directory} has "
            f"{format_size(free)} left",
            remedy="free disk space, for example: harness gc --limit 10G; or leave --dump out",
        )


def dump_memory(monitor: Monitor, path: Path, memory_mib: int) -> MemoryDump:
    """Write a guest's memory to ``path``; a failure is in the result.

    QEMU stops the guest meanwhile and resumes it if it ran. It writes to a pipe, since it may
    neither open files nor write large ones.
    """
    try:
        _copy_memory(monitor, path, memory_mib)
        note = _note_of(path)
    except InfraError as error:
        path.unlink(missing_ok=True)
        return MemoryDump(note=error.message)
    status = path.stat()
    return MemoryDump(path.name, status.st_size, status.st_blocks * 512, note)


def _note_of(path: Path) -> str:
    """Add the kernel's addresses; return what is missing."""
    from harness.debug.coredump import DumpError, add_kernel_addresses

    try:
        return add_kernel_addresses(path).cut
    except DumpError as error:
        return f"it has physical addresses only: {error}"
    except OSError as error:
        raise host_refused(path, error) from error


def _copy_memory(monitor: Monitor, path: Path, memory_mib: int) -> None:
    source, sink = os.pipe()
    copy = _SparseCopy(source, path, memory_mib * MIB + _MORE_BYTES)
    copy.start()
    try:
        try:
            monitor.query("getfd", {"fdname": _NAME}, descriptor=sink)
        finally:
            os.close(sink)
        monitor.query(
            "dump-guest-memory",
            {"paging": False, "protocol": f"fd:{_NAME}"},
            _SECONDS + memory_mib / 1024 * _SECONDS_PER_GIB,
        )
    except InfraError:
        with contextlib.suppress(InfraError):  # an open copy of the pipe would keep the thread
            monitor.query("closefd", {"fdname": _NAME})
        copy.stop()
        if copy.failure is not None:
            raise copy.failure from None
        raise
    copy.join()
    if copy.failure is not None:
        raise copy.failure


class _SparseCopy(threading.Thread):
    """Copies a pipe to a file, without blocks of zeros.

    Attributes:
        failure: why the file is not complete; None if it is.
    """

    def __init__(self, source: int, path: Path, most: int) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._path = path
        self._most = most
        self._stopped = threading.Event()
        self.failure: InfraError | None = None

    def stop(self) -> None:
        """Stop, and wait for the end."""
        self._stopped.set()
        self.join()

    def run(self) -> None:
        """See ``threading.Thread``."""
        try:
            with self._path.open("wb") as target:
                self._path.chmod(0o600)
                self._copy(target)
        except OSError as error:
            self.failure = host_refused(self._path, error)
        finally:
            os.close(self._source)  # QEMU's next write fails

    def _copy(self, target: IO[bytes]) -> None:
        size = 0
        for block in self._blocks():
            size += len(block)
            if size > self._most:
                self.failure = InfraError(
                    f"QEMU wrote a memory dump of more than {format_size(self._most)}",
                    remedy="run it again; harness doctor lists what this host lacks",
                )
                return
            if block.count(0) == len(block):
                target.seek(len(block), os.SEEK_CUR)
            else:
                target.write(block)
        target.truncate(size)

    def _blocks(self) -> Iterator[bytes]:
        block = bytearray()
        while not self._stopped.is_set():
            if not select.select([self._source], [], [], _TICK)[0]:
                continue
            data = os.read(self._source, _BLOCK - len(block))
            block += data
            if len(block) == _BLOCK or not data:
                yield bytes(block)
                block.clear()
            if not data:
                return
