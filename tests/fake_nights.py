"""Nights of a made-up tree: its commits, their faults, a plan, and guests that show the faults."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fake_environment import FakeProvider, fake_environment
from fake_guests import banner, boots, build_id_of, console, facts_of
from small_tree import git, git_tree

from harness.errors import BuildError, UsageError
from harness.guest.fake import Piece, Script
from harness.guest.spec import GuestSpec
from harness.history.database import Database
from harness.history.nights import NightReader
from harness.history.url import HistoryLocation
from harness.runs.environment import Environment
from harness.runs.nights.night import NightResult, nightly
from harness.runs.nights.openplan import NightRequest
from harness.source.opentree import open_tree
from harness.source.request import KernelRequest

PLAN = """
name = "made"
every = "24h"
{keys}
[[tree]]
name = "tree"
source = "{source}"
branches = ["main"]

[[boot]]
numa = "1,2,4"
accelerator = "tcg"
"""

CONTROL = """
[[control]]
mutant = "drop-commit"
numa = "2"
accelerator = "tcg"
title = "control"
"""
"""A negative control for a plan, which fails as stated."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with the kernels of some commits.

    Args:
        title: what a guest panics with.
        since: number of the first commit that has it.
        until: number of the first commit without it; None: all later ones have it.
        rate: share of the boots that show it.
        nodes: numbers of nodes of the guests that show it.
        spared: so many boots of its first commit pass in each cell.
        builds: False: the commits do not build.
        slower: how much longer a boot takes; above 1, it does not panic.
    """

    title: str
    since: int
    until: int | None = None
    rate: float = 1.0
    nodes: tuple[int, ...] = (1, 2, 4)
    builds: bool = True
    slower: float = 1.0
    spared: int = 0

    def is_in(self, number: int) -> bool:
        return self.since <= number and (self.until is None or number < self.until)


def panic_of(title: str) -> Script:
    lines = (
        f"panic: {title}", "cpuid = 0", "time = 1", "KDB: stack backtrace:",
        "panic() at panic+0x43/frame 0xfffffe0000000010",
        "thinker() at thinker+0x9/frame 0xfffffe0000000020", "Uptime: 1s",
    )  # fmt: skip
    return Script((Piece(banner()), Piece(console(*lines), after=1.0)))


@dataclass
class Nights:
    """A made-up tree with its nights.

    Args:
        directory: holds the tree, the history and all records.
        seed: of all that is random.
        host: share of the boots in which the host fails.
        keys: further keys of the plan.
        noise: how much more CPU time a boot takes at most than another of the same kernel.
        cells: further tables of the plan.
        history: where the history is; default: where the harness keeps it.

    Attributes:
        commits: all commits, the oldest first.
        faults: what is wrong with some.
        equal: numbers of commits whose kernel equals their parent's.
        refused: numbers of commits that cannot have the plan's kernels.
        boots: the number of guests started so far.
        control: what guests with a mutant panic with; empty: they boot.
        spoilt: what the first guests with a mutant panic with, in place of that.
        fail_first: in so many of the first boots the host fails.
        slow_boots: boots of these numbers take twice the CPU time.
        kill_after: the night is interrupted at the boot of that number.
        at_boot: called at each boot.
    """

    directory: Path
    seed: int = 1
    host: float = 0.0
    keys: str = ""
    noise: float = 0.04
    cells: str = ""
    history: HistoryLocation | None = None
    commits: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    equal: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    boots: int = 0
    control: str = "control lost"
    spoilt: list[str] = field(default_factory=list)
    fail_first: int = 0
    kill_after: int | None = None
    slow_boots: set[int] = field(default_factory=set)
    at_boot: Callable[[], None] = lambda: None
    _seen: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _by_build: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree = git_tree(self.directory / "tree")
        self._add(git(self.tree, "rev-parse", "HEAD"))
        self.write_plan()

    def write_plan(self) -> None:
        keys = self.keys if self.history is None else f'history = "{self.history}"\n{self.keys}'
        text = PLAN.format(source=self.tree, keys=keys) + self.cells
        (self.directory / "nightly.toml").write_text(text)

    def commit(self, *faults: Fault, equal: bool = False) -> int:
        """Add a commit that has these faults from now on; return its number."""
        number = len(self.commits)
        file = self.tree / ("README" if equal else "sys/vm/uma_core.c")
        with file.open("a") as text:
            text.write(f"/* {number} */\n")
        git(self.tree, "add", "--all")
        git(self.tree, "commit", "--quiet", "--message", f"Change {number}")
        self._add(git(self.tree, "rev-parse", "HEAD"))
        if equal:
            self.equal.add(number)
        self.faults += [replace(fault, since=number) for fault in faults]
        return number

    def mend(self, title: str) -> int:
        """Add a commit that mends a fault; return its number."""
        number = self.commit()
        self.faults = [
            replace(fault, until=number) if fault.title == title and fault.until is None else fault
            for fault in self.faults
        ]
        return number

    def rewrite(self) -> None:
        """Replace the newest commit by another."""
        git(self.tree, "reset", "--quiet", "--hard", "HEAD~1")
        self.commit()

    def _add(self, name: str) -> None:
        self._by_build[build_id_of(len(self.commits)).hex()] = len(self.commits)
        self.commits.append(name)

    def kernel(self, what: KernelRequest) -> int:
        """Return the number of the kernel of a request; see ``FakeProvider``."""
        number = self.commits.index(what.change.revision or "")
        if number in self.refused:
            raise UsageError("there is no option SMALL", remedy="leave it out")
        while number in self.equal:
            number -= 1
        broken = [fault for fault in self.faults if not fault.builds and fault.is_in(number)]
        if broken:
            raise BuildError(
                "the kernel does not build", detail=f"vm.c:1: error: {broken[0].title}"
            )
        return number

    def play(self, spec: GuestSpec) -> Script:
        """Return what a guest does."""
        number = self._by_build[facts_of(spec).build_id]
        self.at_boot()
        with self._lock:
            self.boots += 1
            # By cell and number of the commit: neither the order in which guests run side by side
            # nor a commit's hash, which a guest's name contains, changes a chance.
            cell = f"{number}:{spec.name.split('-', 2)[-1]}"
            self._seen[cell] = self._seen.get(cell, 0) + 1
            chance = random.Random(f"{self.seed}:{cell}:{self._seen[cell]}")
            boot = self.boots
            guest = f"{len(spec.topology.nodes)}:{number}"
            self._seen[guest] = self._seen.get(guest, 0) + 1
        if self.kill_after is not None and boot > self.kill_after:
            raise KeyboardInterrupt
        if boot <= self.fail_first or chance.random() < self.host:
            return Script((), failure="the host has had enough")
        control = "-control-" in spec.name
        if control and self.spoilt:
            return panic_of(self.spoilt.pop(0))
        speed = (1.0 + self.noise * chance.random()) * (2.0 if boot in self.slow_boots else 1.0)
        for fault in self.faults:
            if fault.slower > 1.0:
                affected = fault.is_in(number) and len(spec.topology.nodes) in fault.nodes
                speed *= fault.slower if affected else 1.0
                continue
            shows = fault.builds and fault.is_in(number)
            shows = shows and (number > fault.since or self._seen[guest] > fault.spared)
            if shows and len(spec.topology.nodes) in fault.nodes and chance.random() < fault.rate:
                return panic_of(fault.title)
        if control and self.control:
            return panic_of(self.control)
        return replace(boots(spec), cpu=speed)

    @property
    def reader(self) -> NightReader:
        """Reads the nights."""
        default = self.directory / "state" / "nightly" / "made.sqlite"
        return NightReader(Database.open(self.history or default), "made")

    @contextmanager
    def environment(self) -> Iterator[Environment]:
        """Yield an environment in which the tree's guests run."""
        provider = FakeProvider(self.directory, self.kernel)
        with fake_environment(self.directory, self.play, provider) as env:
            provider.tree = open_tree(str(self.tree), env.workspace, env.runner)
            yield env

    def night(self, **request: object) -> NightResult:
        """Run a night, or go on with one."""
        with self.environment() as env:
            wanted = NightRequest(self.directory / "nightly.toml")
            return nightly(replace(wanted, **request), env)  # type: ignore[arg-type]
