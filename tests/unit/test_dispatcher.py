"""The asker of a group whose database is lost in the middle of what it writes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import pytest

from harness.errors import HarnessError, InfraError
from harness.group.celldirectory import Lack, done, failed
from harness.group.dispatcher import Dispatcher
from harness.group.leases import GroupLeases, KnownHost, Lease, Report
from harness.group.placement import FAILURES, HostOffer, Job
from harness.host.clock import HostClock

SECONDS = 100.0
"""Timeout that no host exceeds."""

T = TypeVar("T")


@dataclass
class Books:
    """Leases in memory, whose hosts are done at once; see ``GroupLeases``.

    Attributes:
        hosts_there: names of the hosts.
        lost: numbers of the writes that are carried out, but whose answer is lost.
        silent: hosts that have not reported for long.
        stuck: leases of these hosts run for ever.
        failing: hosts that fail everything.
        treeless: hosts without the tree that kernels are built from.
        forgetful: hosts that announce kernels, and do not have them.
        placed: all leases, by number.
    """

    hosts_there: tuple[str, ...] = ("a", "b")
    lost: frozenset[int] = frozenset()
    silent: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    treeless: frozenset[str] = frozenset()
    forgetful: frozenset[str] = frozenset()
    placed: dict[int, Lease] = field(default_factory=dict)
    writes: int = 0
    guard: threading.RLock = field(default_factory=threading.RLock)

    def noticing(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        del call
        return nullcontext()

    def hosts(self) -> list[KnownHost]:
        return [
            KnownHost(
                HostOffer(name, 2.0, 1 << 40, builds=True), "v", frozenset({"key"}),
                999.0 if name in self.silent else 0.0, leaving=False,
            )
            for name in self.hosts_there
        ]  # fmt: skip

    def open(self) -> list[Lease]:
        with self.guard:
            for number, lease in self.placed.items():
                if lease.state == "queued" and lease.host not in self.stuck:
                    self.placed[number] = replace(lease, state="ended")
            return [each for each in self.placed.values() if each.state in ("queued", "ended")]

    def newest(self, job: str) -> Lease | None:
        with self.guard:
            own = [each for each in self.placed.values() if each.job == job]
            return max(own, key=lambda each: each.attempt, default=None)

    def report(self, lease: int) -> Report:
        found = self.placed[lease]
        if found.host in self.failing:
            return Report(lease, found.host, failed("it always does"))
        if found.job.startswith("build") and found.host in self.treeless:
            return Report(lease, found.host, failed("there is no tree", Lack.SOURCE))
        if found.job.startswith("cell") and found.host in self.forgetful:
            return Report(lease, found.host, failed("it is gone", Lack.KERNEL))
        return Report(
            lease, found.host, done({"held": {"a": 1}, "keys": ["key"]}, host_failed=False)
        )

    def place(self, job: Job, attempt: int, host: str, order: Mapping[str, Any]) -> int:
        del order
        with self.guard:
            assert not [each for each in self.placed.values()
                        if (each.job, each.attempt) == (job.id, attempt)]  # fmt: skip
            number = len(self.placed) + 1
            lease = Lease(number, job.id, attempt, host, "queued", None, 1.0, 1, own=True)
            self.placed[number] = lease
            return self.written(number)

    def withdraw(self, leases: Collection[int], state: str) -> list[int]:
        with self.guard:
            taken = [each for each in leases if self.placed[each].state == "queued"]
            for each in taken:
                self.placed[each] = replace(self.placed[each], state=state)
            return self.written(taken)

    def written(self, answer: T) -> T:
        self.writes += 1
        if self.writes in self.lost:
            raise InfraError("the connection was lost")
        return answer


@contextmanager
def dispatching(
    books: Books, silence: float = 100.0, note: Callable[[str], None] = lambda _: None
) -> Iterator[Dispatcher]:
    made = Dispatcher(cast("GroupLeases", books), "v", silence, HostClock(), note)
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("lost", [{1}, {2, 3}, {1, 2, 3, 4, 5}])
def test_a_lease_whose_answer_was_lost_is_not_made_twice(lost: set[int]) -> None:
    books = Books(lost=frozenset(lost))
    with dispatching(books) as dispatcher:
        dispatcher.submit(Job("build", 1.0, makes="k"), {}).result(SECONDS)
        futures = [dispatcher.submit(Job(f"cell{n}", 1.0, kernel="k"), {}) for n in range(6)]
        for future in futures:
            assert future.result(SECONDS).document["kind"] == "done"
    cells = Counter(each.job for each in books.placed.values())
    assert {cells[f"cell{n}"] for n in range(6)} == {1}


@pytest.mark.parametrize("lost", [set(), {2}])
def test_what_was_taken_back_is_placed_anew_also_if_the_answer_was_lost(lost: set[int]) -> None:
    books = Books(("a",), lost=frozenset(lost), stuck=frozenset({"a"}))
    with dispatching(books) as dispatcher:
        future = dispatcher.submit(Job("cell", 1.0), {})
        while not books.placed:
            time.sleep(0.01)
        books.hosts_there, books.silent = ("a", "b"), frozenset({"a"})
        assert future.result(SECONDS).host == "b"
    assert [each.state for each in books.placed.values()] == ["lost", "ended"]


def test_a_host_that_fails_everything_is_set_aside_and_named() -> None:
    books, notes = Books(failing=frozenset({"a"})), list[str]()
    with dispatching(books, note=notes.append) as dispatcher:
        for number in range(12):
            report = dispatcher.submit(Job(f"cell{number}", 1.0), {}).result(SECONDS)
            assert report.host == "b"
        assert dispatcher.set_aside == ["a"]
    assert sum(each.host == "a" for each in books.placed.values()) == FAILURES
    assert [note for note in notes if note.startswith("a fails")]


def test_without_hosts_all_jobs_end_with_an_error_and_later_ones_too() -> None:
    with dispatching(Books(()), silence=0.5) as dispatcher:
        future = dispatcher.submit(Job("cell", 1.0), {})
        with pytest.raises(HarnessError, match="no host of the group"):
            future.result(SECONDS)
        with pytest.raises(HarnessError, match="no host of the group"):
            dispatcher.submit(Job("other", 1.0), {})


def test_hosts_without_the_tree_build_nothing_and_are_not_set_aside() -> None:
    books = Books(tuple("abcdef"), treeless=frozenset("abcde"))
    with dispatching(books) as dispatcher:
        for number in range(4):
            job = Job(f"build{number}", 1.0, makes=f"k{number}", source="/tree")
            assert dispatcher.submit(job, {}).result(SECONDS).host == "f"
        assert dispatcher.set_aside == []
        asked = Counter(each.host for each in books.placed.values())
        assert max(asked[host] for host in "abcde") == 1, "a host is asked once for a tree"
        # They run cells of kernels that others built.
        cells = [dispatcher.submit(Job(f"cell{n}", 1.0, kernel="k0"), {}) for n in range(12)]
        assert {each.result(SECONDS).document["kind"] for each in cells} == {"done"}


def test_without_a_tree_in_the_group_a_build_ends_with_the_cause() -> None:
    with dispatching(Books(treeless=frozenset("ab"))) as dispatcher:
        report = dispatcher.submit(Job("build", 1.0, makes="k", source="/tree"), {}).result(SECONDS)
        assert report.document["why"] == "there is no tree"


def test_a_host_that_lost_its_kernel_is_sent_it_again_and_did_not_fail() -> None:
    books = Books(forgetful=frozenset("a"))
    with dispatching(books) as dispatcher:
        dispatcher.submit(Job("build", 1.0, makes="k", source="/tree"), {}).result(SECONDS)
        cells = [dispatcher.submit(Job(f"cell{n}", 1.0, kernel="k"), {}) for n in range(6)]
        while not any(each.host == "a" for each in books.placed.values()):
            time.sleep(0.01)
        books.forgetful = frozenset()
        assert {each.result(SECONDS).document["kind"] for each in cells} == {"done"}
        assert dispatcher.set_aside == []
