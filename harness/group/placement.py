"""Places cells and builds on hosts; pure.

``place`` is called whenever something has changed: a job has ended, a kernel has arrived, a host
has come or gone. It starts what can run now, and moves kernels to where they are needed next:

- builds first, those first for which the most work waits;
- then the longest cells first, by what earlier nights took, on hosts that have their kernels;
- a host's cores and memory are never exceeded, and a cell that wants a host to itself gets one;
- a cell does not return to a host that failed it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness.arch import GUEST

#: Seconds of work that each core of a host should have at hand, before kernels are moved to it.
_AHEAD: Final = 60.0

#: One host of so many is kept idle for cells that want a host to themselves.
_DRAINED: Final = 4

#: Failures in a row after which a host is set aside.
FAILURES: Final = 3

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class HostOffer:
    """What a host offers.

    Args:
        name: its name.
        cores: cores for the harness; may be a fraction.
        memory: bytes for the harness.
        architecture: of its guests that need no emulation of another one.
        accelerators: those that it can use.
        builds: whether it can build kernels.
        commands: whether it runs commands of plans outside the sandbox.
    """

    name: str
    cores: float
    memory: int
    architecture: str = GUEST.name
    accelerators: frozenset[str] = frozenset({"tcg"})
    builds: bool = False
    commands: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A cell or a build.

    Args:
        id: identifies it.
        seconds: how long it takes, by the history.
        cores: cores that it uses.
        memory: bytes that it uses.
        kernel: the kernel that it boots; empty: none.
        makes: the kernel that it builds; empty: none.
        source: where the tree is that it builds; hosts without it are left out.
        alone: whether nothing else of the harness may run on its host meanwhile.
        architecture: that it needs.
        accelerator: that it needs.
        commands: whether it runs commands outside the sandbox.
        avoid: names of hosts that it must not run on, such as those that failed it.
    """

    id: str
    seconds: float
    cores: float = 1.0
    memory: int = 0
    kernel: str = ""
    makes: str = ""
    source: str = ""
    alone: bool = False
    architecture: str = GUEST.name
    accelerator: str = "tcg"
    commands: bool = False
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HostState:
    """A host at a moment.

    Args:
        offer: what it offers.
        running: what runs there.
        kernels: the kernels that it has.
        coming: the kernels that are being moved to it.
        failures: jobs in a row in which it failed.
    """

    offer: HostOffer
    running: tuple[Job, ...] = ()
    kernels: frozenset[str] = frozenset()
    coming: frozenset[str] = frozenset()
    failures: int = 0

    @property
    def is_set_aside(self) -> bool:
        """Whether it fails so often that it gets nothing more."""
        return self.failures >= FAILURES


@dataclass(frozen=True, slots=True)
class Placement:
    """What is to be done now.

    Args:
        starts: jobs to start, each with the name of its host.
        moves: kernels to move, each with the name of the host.
    """

    starts: tuple[tuple[Job, str], ...] = ()
    moves: tuple[tuple[str, str], ...] = ()


def place(waiting: Iterable[Job], hosts: Sequence[HostState], lanes: int) -> Placement:
    """Return which jobs to start where, and which kernels to move where.

    Args:
        waiting: the jobs that do not run yet.
        hosts: the hosts that are there.
        lanes: how many kernels can be moved now, beside those that are.
    """
    jobs = list(waiting)
    rooms = [_Room.of(host) for host in hosts if not host.is_set_aside]
    starts = list(_starts(_ordered(jobs), rooms))
    started = {job.id for job, _ in starts}
    left = [job for job in jobs if job.id not in started]
    return Placement(tuple(starts), tuple(_moves(left, rooms, lanes)))


def can_hold(offer: HostOffer, job: Job) -> bool:
    """Return whether a host can run a job when nothing else runs there."""
    return not _lacks(offer, job)


def refusal(job: Job, offers: Collection[HostOffer]) -> str:
    """Return why no host can ever run a job, in words; empty if one can."""
    allowed = [offer for offer in offers if offer.name not in job.avoid]
    if not allowed:
        return "every host has failed it" if offers else "there is no host"
    lacks = [_lacks(offer, job) for offer in allowed]
    if not all(lacks):
        return ""
    # The host that lacks the least is the one to mend.
    offer, least = min(zip(allowed, lacks, strict=True), key=lambda pair: len(pair[1]))
    return f"no host can run it: {offer.name} lacks {' and '.join(least)}"


def stranded(waiting: Iterable[Job], hosts: Sequence[HostState]) -> list[Job]:
    """Return the jobs that no host which is there can run, now or later."""
    offers = [host.offer for host in hosts if not host.is_set_aside]
    return [job for job in waiting if refusal(job, offers)]


def _lacks(offer: HostOffer, job: Job) -> list[str]:
    """Return what a host lacks to run a job, in words."""
    found = {
        f"cores: it needs {job.cores:g}, {offer.cores:g} are offered": job.cores > offer.cores,
        f"memory: it needs {job.memory / _GIB:.1f} GiB, {offer.memory / _GIB:.1f} are offered":
            job.memory > offer.memory,
        f"the architecture {job.architecture}": job.architecture != offer.architecture,
        f"the accelerator {job.accelerator}": job.accelerator not in offer.accelerators,
        "a source tree": bool(job.makes) and not offer.builds,
        "--allow-commands": job.commands and not offer.commands,
    }  # fmt: skip
    return [words for words, is_lacking in found.items() if is_lacking]


@dataclass(slots=True)
class _Room:
    """What is left of a host while jobs are placed."""

    host: HostState
    cores: float
    memory: int
    count: int
    closed: bool = False

    @classmethod
    def of(cls, host: HostState) -> _Room:
        running = host.running
        return cls(
            host,
            host.offer.cores - sum(job.cores for job in running),
            host.offer.memory - sum(job.memory for job in running),
            len(running),
            any(job.alone for job in running),
        )

    def has_room(self, job: Job) -> bool:
        """Return whether a job can start now."""
        return (
            not self.closed
            # A sum of fractions is not exact.
            and job.cores <= self.cores + 1e-9
            and job.memory <= self.memory
            and not (job.alone and self.count)
            # A host that has just failed shows first that it can do better.
            and not (self.host.failures and self.count)
            and self.may_run(job)
        )

    def may_run(self, job: Job) -> bool:
        """Return whether the host could run a job if it were idle."""
        has_kernel = not job.kernel or job.kernel in self.host.kernels
        return has_kernel and self.allows(job)

    def allows(self, job: Job) -> bool:
        """Return whether a job may run on the host at all."""
        return self.host.offer.name not in job.avoid and can_hold(self.host.offer, job)

    def take(self, job: Job) -> None:
        """Count a job as running."""
        self.cores -= job.cores
        self.memory -= job.memory
        self.count += 1
        self.closed |= job.alone


def _ordered(jobs: Sequence[Job]) -> list[Job]:
    """Return jobs in the order in which they get hosts.

    Of equally long ones, those that need several cores come first: when hosts are busy, few cores
    are free at once. The square of the cores gave the shortest simulated nights.
    """
    behind: dict[str, float] = defaultdict(float)
    for job in jobs:
        behind[job.kernel] += job.seconds * job.cores

    def key(job: Job) -> tuple[bool, bool, float, str]:
        weight = behind[job.makes] if job.makes else job.seconds * job.cores**2
        return not job.makes, not job.alone, -weight, job.id

    return sorted(jobs, key=key)


def _starts(jobs: Sequence[Job], rooms: Sequence[_Room]) -> Iterator[tuple[Job, str]]:
    """Take what can start now, in order."""
    if not jobs:
        return
    cores, memory = min(job.cores for job in jobs), min(job.memory for job in jobs)
    drained = max(1, len(rooms) // _DRAINED)

    def is_open(room: _Room) -> bool:
        return not room.closed and room.cores + 1e-9 >= cores and room.memory >= memory

    free = [room for room in rooms if is_open(room)]
    # Rooms only become smaller: where a job has no place, none with the same needs has one.
    unplaced: set[tuple[object, ...]] = set()
    for job in jobs:
        needs = _needs(job)
        fitting = [] if needs in unplaced else [room for room in free if room.has_room(job)]
        if not fitting:
            unplaced.add(needs)
        if fitting:
            room = min(fitting, key=lambda each: _fit(each, job))
            room.take(job)
            yield job, room.host.offer.name
        elif job.alone and drained:
            _drain(job, rooms)
            drained -= 1
        elif not free:
            return
        free = [room for room in free if is_open(room)]


def _needs(job: Job) -> tuple[object, ...]:
    """Return all that decides whether a host has room for a job."""
    return (
        job.cores, job.memory, job.kernel, job.makes, job.alone, job.architecture, job.accelerator,
        job.commands, job.avoid,
    )  # fmt: skip


def _drain(job: Job, rooms: Sequence[_Room]) -> None:
    """Give a host nothing more, so that a job can have it to itself soon."""
    able = [room for room in rooms if not room.closed and room.may_run(job)]
    if able:
        able.sort(key=lambda room: room.host.offer.name)
        min(able, key=lambda room: room.count).closed = True


def _fit(room: _Room, job: Job) -> tuple[float, float, str]:
    """Return how well a host suits a job; the least is the best.

    A job goes where its share of the memory that is left is nearest to its share of the cores, so
    that neither is left over without the other; then where the most cores are left.
    """
    cores = job.cores / max(room.cores, 1e-9)
    memory = job.memory / max(room.memory, 1)
    return max(memory - cores, 0.0), cores, room.host.offer.name


def _moves(jobs: Sequence[Job], rooms: Sequence[_Room], lanes: int) -> Iterator[tuple[str, str]]:
    """Return the kernels to move to hosts that will lack work, the neediest host first."""
    exist = {kernel for room in rooms for kernel in room.host.kernels}
    work: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.kernel in exist:
            work[job.kernel].append(job)
    lacking = [room for room in rooms if not work.keys() <= room.host.kernels | room.host.coming]
    if lanes <= 0 or not lacking:
        return
    total = {kernel: sum(job.seconds * job.cores for job in own) for kernel, own in work.items()}
    holders: dict[str, float] = defaultdict(float)
    for room in rooms:
        for kernel in room.host.kernels | room.host.coming:
            holders[kernel] += room.host.offer.cores
    needy = sorted(lacking, key=lambda room: (_at_hand(room, total, holders), room.host.offer.name))
    for room in needy:
        if lanes <= 0 or _at_hand(room, total, holders) >= _AHEAD:
            continue
        has = room.host.kernels | room.host.coming
        wanted = [
            kernel
            for kernel, own in work.items()
            if kernel not in has and any(room.allows(job) for job in own)
        ]
        if wanted:
            best = max(wanted, key=lambda kernel: (total[kernel] / holders[kernel], kernel))
            holders[best] += room.host.offer.cores
            lanes -= 1
            yield best, room.host.offer.name


def _at_hand(room: _Room, total: dict[str, float], holders: dict[str, float]) -> float:
    """Return the seconds of work for each of its cores that a host has kernels for."""
    has = room.host.kernels | room.host.coming
    return sum(total[kernel] / holders[kernel] for kernel in has if kernel in total)
