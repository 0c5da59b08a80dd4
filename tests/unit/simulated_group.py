"""A simulated night on a group of hosts: made-up cells, what they cost, and the least time."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from harness.group.placement import HostOffer, HostState, Job, Placement, place

GIB = 1 << 30
LANES = 8
"""Kernels that are moved at once."""
MOVE = 1.0
"""Seconds to move one: 41 MB, over a link that all share."""
LOST = 120.0
"""Seconds until a host counts as gone."""

MEASURED = (
    (9.0, 1.0, 1.0), (12.0, 1.0, 1.0), (16.0, 1.0, 2.0), (28.0, 1.0, 2.0), (35.0, 1.0, 3.0),
    (58.0, 1.0, 3.0), (75.0, 1.0, 4.0), (40.0, 2.0, 2.0), (110.0, 1.0, 4.0),
)  # fmt: skip
"""Cells as they were measured under TCG: seconds, cores, GiB."""


@dataclass(frozen=True)
class SimulatedNight:
    """What a night has to do, and where.

    Attributes:
        seconds: how long each job really takes, by its id.
        warm: the kernels that each host has.
        lost: hosts that vanish, and when.
        broken: hosts that fail everything within a second.
    """

    offers: tuple[HostOffer, ...]
    jobs: tuple[Job, ...]
    seconds: Mapping[str, float]
    warm: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lost: Mapping[str, float] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()


def made_night(
    seed: int, mix: str, *, warm: bool, cells: int = 1000, hosts: int = 50, error: float = 0.3
) -> SimulatedNight:
    """Return a night whose time is bound by ``cores``, ``memory`` or the ``longest`` cell."""
    chances = random.Random(f"{seed}:{mix}:{warm}")
    gib_a_core = {"cores": 5, "memory": 1.5, "longest": 5}[mix]
    offers = []
    for number in range(hosts):
        cores = chances.choice((2, 2, 4) if mix == "cores" else (2, 4, 4, 8, 8, 16))
        memory = max(8, int(cores * gib_a_core)) * GIB
        offers.append(HostOffer(f"host{number:02}", cores, memory, builds=number % 5 == 0))
    kernels = [f"kernel{number:02}" for number in range(20)]
    builds = [] if warm else [
        Job(f"build-{kernel}", chances.uniform(30, 90), 2.0, 2 * GIB, makes=kernel)
        for kernel in kernels
    ]  # fmt: skip
    jobs = []
    for number in range(cells):
        seconds, busy, gib = chances.choice(MEASURED)
        if mix == "memory":
            gib = chances.choice((2.0, 3.0, 4.0, 6.0))
        if mix == "longest" and number < 3:
            seconds = 1200.0
        seconds *= chances.uniform(0.8, 1.25)
        kernel = chances.choice(kernels)
        jobs.append(Job(f"cell{number:04}", seconds, busy, int(gib * GIB), kernel))
    real = {job.id: job.seconds * chances.uniform(1 - error, 1 + error) for job in (*builds, *jobs)}
    has = {offer.name: frozenset(kernels) for offer in offers} if warm else {}
    return SimulatedNight(tuple(offers), (*builds, *jobs), real, has)


Placing = Callable[[list[Job], list[HostState], int], Placement]


@dataclass
class Simulation:
    """Runs a night, and checks at each moment that nothing impossible happens."""

    night: SimulatedNight
    placing: Placing = place
    now: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    moves: int = 0

    def __post_init__(self) -> None:
        self.waiting = {job.id: job for job in self.night.jobs}
        self.hosts = {
            offer.name: HostState(offer, kernels=self.night.warm.get(offer.name, frozenset()))
            for offer in self.night.offers
        }
        self.gone: dict[str, float] = {}
        self.lanes = LANES
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (seconds, self.count, what))

    def run(self) -> float:
        """Return when the last job has ended."""
        for name, moment in self.night.lost.items():
            self.at(moment, lambda name=name: self.lose(name))  # type: ignore[misc]
        self.place()
        last = 0.0
        while self.events and len(self.done) < len(self.night.jobs):
            self.now = self.events[0][0]
            while self.events and self.events[0][0] <= self.now + 1e-9:
                heapq.heappop(self.events)[2]()
            last = self.now
            self.place()
        assert set(self.done) == {job.id for job in self.night.jobs}, "jobs are left over"
        assert set(self.done.values()) == {1}, "a job has ended twice"
        return last

    def place(self) -> None:
        there = [state for name, state in self.hosts.items() if name not in self.gone]
        placement = self.placing(list(self.waiting.values()), there, self.lanes)
        for job, name in placement.starts:
            self.start(job, name)
        for kernel, name in placement.moves:
            self.move(kernel, name)

    def start(self, job: Job, name: str) -> None:
        host = self.hosts[name]
        del self.waiting[job.id]
        running = (*host.running, job)
        assert sum(each.cores for each in running) <= host.offer.cores + 1e-6
        assert sum(each.memory for each in running) <= host.offer.memory
        assert len(running) == 1 or not any(each.alone for each in running)
        assert not job.kernel or job.kernel in host.kernels
        assert name not in job.avoid
        assert not job.makes or host.offer.builds
        self.hosts[name] = replace(host, running=running)
        self.runs[job.id] += 1
        broken = name in self.night.broken
        seconds = 1.0 if broken else self.night.seconds[job.id]
        self.at(self.now + seconds, lambda: self.end(job, name, failed=broken))

    def end(self, job: Job, name: str, *, failed: bool) -> None:
        if name in self.gone:
            return
        host = self.hosts[name]
        running = tuple(each for each in host.running if each.id != job.id)
        failures = host.failures + 1 if failed else 0
        self.hosts[name] = replace(host, running=running, failures=failures)
        if failed:
            self.waiting[job.id] = replace(job, avoid=job.avoid | {name})
            return
        self.done[job.id] += 1
        if job.makes:
            # It lies on the builder, which sends it to the others.
            kernels = self.hosts[name].kernels | {job.makes}
            self.hosts[name] = replace(self.hosts[name], kernels=kernels)

    def move(self, kernel: str, name: str) -> None:
        host = self.hosts[name]
        assert kernel not in host.kernels | host.coming
        self.lanes -= 1
        assert self.lanes >= 0
        self.moves += 1
        self.hosts[name] = replace(host, coming=host.coming | {kernel})
        self.at(self.now + MOVE, lambda: self.arrive(kernel, name))

    def arrive(self, kernel: str, name: str) -> None:
        self.lanes += 1
        host = self.hosts[name]
        coming, kernels = host.coming - {kernel}, host.kernels | {kernel}
        self.hosts[name] = replace(host, coming=coming, kernels=kernels)

    def lose(self, name: str) -> None:
        """Its jobs are placed anew when it counts as gone; kernels only it had are kept apart."""
        self.gone[name] = self.now
        host = self.hosts[name]

        def give_up() -> None:
            self.waiting |= {job.id: job for job in host.running}

        self.at(self.now + LOST, give_up)


def bound(night: SimulatedNight) -> float:
    """Return a time that no placement can beat, knowing how long each job takes.

    It counts: the area of cores and of memory; how many jobs of a size fit on all hosts at once;
    the longest job behind its build; that cells wait for builds, which have few hosts; and moves.
    """
    low, high = 0.0, 1e7
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _is_possible(night, middle) else (middle, high)
    return high


def _is_possible(night: SimulatedNight, time: float) -> bool:
    return (
        _chains(night) <= time
        and _areas(night, time)
        and _sizes(night, time)
        and _builds(night, time)
        and _move_count(night, time) * MOVE <= time * LANES
    )


def _areas(night: SimulatedNight, time: float) -> bool:
    cores = sum(offer.cores for offer in night.offers)
    memory = sum(offer.memory for offer in night.offers)
    return (
        sum(night.seconds[job.id] * job.cores for job in night.jobs) <= time * cores
        and sum(night.seconds[job.id] * job.memory for job in night.jobs) <= time * memory
    )


def _sizes(night: SimulatedNight, time: float) -> bool:
    """Return whether the jobs of at least each size find places for so long."""
    least = min(job.cores for job in night.jobs)
    for size in {job.memory for job in night.jobs}:
        places = sum(
            min(offer.memory // max(size, 1), math.floor(offer.cores / least))
            for offer in night.offers
        )
        if sum(night.seconds[job.id] for job in night.jobs if job.memory >= size) > time * places:
            return False
    return True


def _chains(night: SimulatedNight) -> float:
    built = {job.makes: night.seconds[job.id] for job in night.jobs if job.makes}
    return max(night.seconds[job.id] + built.get(job.kernel, 0.0) for job in night.jobs)


def _builds(night: SimulatedNight, time: float) -> bool:
    """Return whether the work that is left at each moment can be done in the rest of the time.

    Until then, at most the cells of those kernels have run whose builds fit in: the best choice is
    that of a fractional knapsack.
    """
    builds = [job for job in night.jobs if job.makes]
    if not builds:
        return True
    work: dict[str, float] = defaultdict(float)
    for job in night.jobs:
        work[job.kernel] += 0.0 if job.makes else night.seconds[job.id] * job.cores
    cores = sum(offer.cores for offer in night.offers)
    builders = sum(offer.cores for offer in night.offers if offer.builds)
    costs = {job.makes: night.seconds[job.id] * job.cores for job in builds}
    total = sum(work.values())
    best = sorted(costs, key=lambda kernel: -work[kernel] / costs[kernel])
    for moment in (time * step / 40 for step in range(40)):
        room, ran = moment * builders, 0.0
        for kernel in best:
            if night.seconds[f"build-{kernel}"] > moment:
                continue
            share = min(1.0, room / costs[kernel])
            ran += share * work[kernel]
            room -= share * costs[kernel]
            if room <= 0:
                break
        if total - ran > (time - moment) * cores:
            return False
    return True


def _move_count(night: SimulatedNight, time: float) -> int:
    """Return how many moves are needed at least: a host can run only so much of a kernel's work."""
    if night.warm:
        return 0
    work: dict[str, float] = defaultdict(float)
    for job in night.jobs:
        work[job.kernel] += 0.0 if job.makes else night.seconds[job.id] * job.cores
    most = max(offer.cores for offer in night.offers) * time
    return sum(max(0, math.ceil(own / most) - 1) for own in work.values())


def first_in_first_out(jobs: list[Job], hosts: list[HostState], lanes: int) -> Placement:
    """Start jobs in the order of their names on the first host with room, moving kernels as met."""
    cores = {host.offer.name: host.offer.cores - sum(job.cores for job in host.running)
             for host in hosts}  # fmt: skip
    memory = {host.offer.name: host.offer.memory - sum(job.memory for job in host.running)
              for host in hosts}  # fmt: skip
    exist = {kernel for host in hosts for kernel in host.kernels}
    starts: list[tuple[Job, str]] = []
    moves: list[tuple[str, str]] = []
    for job in sorted(jobs, key=lambda job: job.id):
        for host in hosts:
            name = host.offer.name
            if cores[name] + 1e-9 < job.cores or memory[name] < job.memory:
                continue
            if job.makes and not host.offer.builds:
                continue
            if job.kernel and job.kernel not in host.kernels:
                key = (job.kernel, name)
                if job.kernel in exist - host.coming and key not in moves and len(moves) < lanes:
                    moves.append(key)
                continue
            cores[name] -= job.cores
            memory[name] -= job.memory
            starts.append((job, name))
            break
    return Placement(tuple(starts), tuple(moves))
