"""Where a new failure is repeated in a group of hosts, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from harness.nightly.cells import NightCell
from harness.nightly.failures import FailureKey, failure_of
from harness.nightly.judgement import Repeats
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.runs.nights.cellrunner import NightTask
from harness.runs.nights.repeating import NightRepeats

if TYPE_CHECKING:
    from harness.runs.nights.cells import NightCells

SLOT = Slot("tree:main", "boot")
CELL = NightCell(SLOT, "boot", "none", numa="1")
FIRST = Result(
    SLOT, "c" * 40, Status.FAILED, outcome="panic", title="panic: here", host="odd", id=1
)  # fmt: skip


@dataclass
class Hosts:
    """Runs repeats on the hosts of a group, of which some fail."""

    names: tuple[str, ...]
    failing: set[str] = field(default_factory=set)
    rare: bool = False
    results: dict[object, Result] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.results["first"] = FIRST
        methods = SimpleNamespace(boot_methods=())
        self.kernels = SimpleNamespace(provider=lambda _: methods)

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(self.names)

    def alone(self, task: NightTask) -> Result:
        others = [name for name in self.names if name != FIRST.host] or list(self.names)
        host = task.host or (others[0] if others else "")
        self.ran.append(host)
        failed = host in self.failing and not (self.rare and len(self.ran) % 2)
        result = replace(
            FIRST, host=host, purpose=Purpose.REPEAT, attempt=task.attempt, title="", outcome="",
            status=Status.PASSED,
        )  # fmt: skip
        if failed:
            result = replace(result, status=Status.FAILED, title=FIRST.title, outcome="panic")
        self.results[task.key] = result
        return result


def repeats(hosts: Hosts) -> Repeats:
    failure = failure_of(FIRST)
    assert isinstance(failure, FailureKey)
    own = NightRepeats(cast("NightCells", hosts), {SLOT: CELL}, {}, lambda: False)
    return own.repeated(failure, [FIRST])


@pytest.mark.parametrize(("failing", "rare", "expected", "ran"), [
    ({"odd"}, False, Repeats(passed=5, back=Repeats(failed=5)), ["good"] * 5 + ["odd"] * 5),
    ({"odd"}, True, Repeats(passed=5, back=Repeats(failed=3, passed=2)),
     ["good"] * 5 + ["odd"] * 5),
    (set(), False, Repeats(passed=5, back=Repeats(passed=5)), ["good"] * 5 + ["odd"] * 5),
    ({"odd", "good"}, False, Repeats(failed=5), ["good"] * 5),
])  # fmt: skip
def test_what_no_other_host_shows_is_repeated_on_the_first(
    failing: set[str], rare: bool, expected: Repeats, ran: list[str]
) -> None:
    hosts = Hosts(("odd", "good"), failing, rare)
    assert (repeats(hosts), hosts.ran) == (expected, ran)
    attempts = {each.attempt for each in hosts.results.values() if each is not FIRST}
    assert len(attempts) == len(ran)


@pytest.mark.parametrize("names", [(), ("odd",), ("good",)])
def test_without_another_host_or_the_first_there_are_five_repeats(names: tuple[str, ...]) -> None:
    hosts = Hosts(names)
    assert repeats(hosts) == Repeats(passed=5)
    assert len(hosts.ran) == 5
