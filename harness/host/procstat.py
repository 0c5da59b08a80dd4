"""Scheduling of a process: CPU time, waiting time, and whether it is stopped (proc(5))."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.host.procfs import PROC, state_of

if TYPE_CHECKING:
    from harness.host.clock import Clock

CGROUPS: Final = Path("/sys/fs/cgroup")

_STOPPED: Final = frozenset("Tt")  # by a signal, by a debugger


@dataclass(frozen=True, slots=True)
class Thread:
    """The state of a thread at one time.

    Args:
        state: the letter of proc(5): R is running or ready, S sleeps, D waits for the disk.
        ran: seconds on a CPU.
        waited: seconds ready without a CPU; increased when it gets one.
    """

    state: str
    ran: float
    waited: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of a process at one time.

    Args:
        at: monotonic seconds.
        stopped: whether SIGSTOP or a debugger stopped it.
        frozen: whether its cgroup is frozen.
        throttled: seconds for which quotas throttled its cgroups.
        threads: its threads, by ID.
    """

    at: float
    stopped: bool = False
    frozen: bool = False
    throttled: float = 0.0
    threads: Mapping[int, Thread] = field(default_factory=dict)


class ProcessSampler:
    """Samples a process on Linux.

    Args:
        pid: the process.
        clock: the clock for ``Sample.at``.
        proc: mount point of proc(5).
        cgroups: mount point of cgroups(7).
    """

    def __init__(self, pid: int, clock: Clock, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        self._directory = proc / str(pid)
        self._clock = clock
        self._cgroups = cgroups
        self._membership = ""
        self._groups: tuple[Path, ...] = ()

    def sample(self) -> Sample | None:
        """Return the state of the process; None if it has ended, or the host is not Linux."""
        try:
            state = state_of(self._directory)
            threads = dict(self._threads())
        except (OSError, ValueError, IndexError):
            return None
        groups = self._group_directories()
        return Sample(
            at=self._clock.monotonic(),
            stopped=state in _STOPPED,
            frozen=any(_frozen(group) for group in groups),
            throttled=sum(_throttled(group) for group in groups),
            threads=threads,
        )

    def _threads(self) -> Iterator[tuple[int, Thread]]:
        for directory in (self._directory / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                ran, waited, slices = map(int, (directory / "schedstat").read_text().split())
                if slices:  # 0: the kernel does not measure the times
                    yield int(directory.name), Thread(state_of(directory), ran / 1e9, waited / 1e9)

    def _group_directories(self) -> tuple[Path, ...]:
        """Return the directories of its cgroups and their parents, in all hierarchies."""
        with contextlib.suppress(OSError):
            membership = (self._directory / "cgroup").read_text()
            if membership != self._membership:
                self._membership = membership
                self._groups = tuple(_group_directories(membership, self._cgroups))
        return self._groups


def _group_directories(membership: str, mounted: Path) -> Iterator[Path]:
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and not {"cpu", "freezer"} & set(controllers.split(",")):
            continue
        names = [controllers, *controllers.split(",")] if controllers else ["", "unified"]
        root = next((mounted / name for name in names if (mounted / name).is_dir()), mounted)
        group = root / path.lstrip("/")
        while group.is_relative_to(root):
            yield group
            if group == root:
                break
            group = group.parent


def _throttled(group: Path) -> float:
    """Return the seconds in ``cpu.stat``: nanoseconds in cgroup v1, microseconds in v2."""
    with contextlib.suppress(OSError, ValueError):
        for line in (group / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in {"throttled_time", "throttled_usec"}:
                return int(value) / (1e9 if name == "throttled_time" else 1e6)
    return 0.0


def _frozen(group: Path) -> bool:
    """Return whether a cgroup is frozen: ``freezer.state`` in v1, ``cgroup.events`` in v2."""
    with contextlib.suppress(OSError):
        return (group / "freezer.state").read_text().strip() == "FROZEN"
    with contextlib.suppress(OSError):
        return "frozen 1" in (group / "cgroup.events").read_text().splitlines()
    return False
