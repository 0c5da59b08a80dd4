"""Limits the memory of a program and its descendants: by a cgroup, else by resident size."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import psutil

from harness.host.procstat import CGROUPS
from harness.host.workspace import unique

if TYPE_CHECKING:
    from harness.host.process import Process

_TICK: Final = 0.05
_MEMBERSHIP: Final = Path("/proc/self/cgroup")

#: Files of a v1 and a v2 group: the limit, and the count of processes that reached it.
_V1: Final = ("memory.limit_in_bytes", "memory.failcnt")
_V2: Final = ("memory.max", "memory.events")

#: Enters the group before it becomes the program, so that nothing is started outside of it.
_ENTER: Final = 'echo $$ >"$1/cgroup.procs" || exit 126; shift; exec "$@"'


@dataclass(slots=True)
class MemoryLimit:
    """A context in which a limit holds for one program.

    If the user can create a cgroup (version 1 or 2), Linux enforces it; else the resident size of
    the program's session is sampled, and the session is killed when it exceeds the limit.

    Args:
        size: bytes.
        cgroups: mount point of cgroups(7).
        grouped: whether to try a cgroup.
    """

    size: int
    cgroups: Path = CGROUPS
    grouped: bool = True
    _group: Path | None = None
    _counter: str = ""
    _watch: threading.Thread | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _killed: bool = False

    def __enter__(self) -> Self:
        if self.grouped:
            self._make_group()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._watch is not None:
            self._watch.join()
        if self._group is not None:
            with contextlib.suppress(OSError):  # killed processes are still exiting; removed later
                self._group.rmdir()

    @property
    def how(self) -> str:
        """What enforces it: ``cgroup``, or ``resident size``."""
        return "cgroup" if self._group is not None else "resident size"

    def words(self, command: Sequence[str | Path]) -> list[str | Path]:
        """Return the command line that runs ``command`` within the limit."""
        if self._group is None:
            return list(command)
        return ["sh", "-c", _ENTER, "sh", self._group, *command]

    def watch(self, process: Process) -> None:
        """Sample a started program; does nothing if a cgroup enforces the limit."""
        if self._group is None:
            self._watch = threading.Thread(target=self._look, args=(process,), daemon=True)
            self._watch.start()

    @property
    def met(self) -> bool:
        """Whether the program has reached the limit."""
        return self._killed or self._counted()

    def _make_group(self) -> None:
        for parent, (limit, counter) in _parents(self.cgroups):
            sweep(parent)
            group = parent / f"{_PREFIX}{os.getpid()}-{unique()}"
            try:
                group.mkdir()
            except OSError:
                continue
            try:
                (group / limit).write_text(str(self.size))
            except OSError:
                group.rmdir()
                continue
            self._group, self._counter = group, counter
            return

    def _counted(self) -> bool:
        if self._group is None:
            return False
        try:
            text = (self._group / self._counter).read_text()
        except OSError:
            return False
        numbers = [line.split() for line in text.splitlines()]
        return any(
            int(words[-1]) > 0 for words in numbers if len(words) == 1 or words[0] == "oom_kill"
        )

    def _look(self, process: Process) -> None:
        while not self._ended.wait(_TICK):
            if resident(process.pid) > self.size:
                self._killed = True
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                return


_PREFIX: Final = "harness-"


def resident(session: int) -> int:
    """Return the bytes of memory that the processes of a session hold."""
    total = 0
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(pid) == session:
                total += psutil.Process(pid).memory_info().rss
    return total


def sweep(parent: Path) -> None:
    """Remove the groups of harnesses that no longer run."""
    for group in parent.glob(f"{_PREFIX}*-*"):
        owner = group.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            with contextlib.suppress(OSError):
                group.rmdir()


def _parents(cgroups: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Yield the groups of this process in which one can be created, with their file names."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield from _existing(cgroups / "memory", path, _V1)
        elif not controllers:
            # In version 2, only a group without processes of its own can limit its children.
            above = str(Path(path).parent)
            for mount in (cgroups, cgroups / "unified"):
                yield from _existing(mount, above, _V2)


def _existing(
    mount: Path, path: str, names: tuple[str, str]
) -> Iterator[tuple[Path, tuple[str, str]]]:
    group = mount / path.lstrip("/")
    if group.is_dir() and os.access(group, os.W_OK):
        yield group, names
