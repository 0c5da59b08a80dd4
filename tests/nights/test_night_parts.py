"""Parts of a night, each by itself: what begins, what can run, what is searched, how long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_environment import FakeProvider, fake_environment
from fake_guests import boots
from fake_nights import Nights

from harness.errors import UsageError
from harness.image.media import BootMethod
from harness.nightly.cells import NightCell
from harness.nightly.controls import ControlResult
from harness.nightly.night import BranchNight, Night, NightState
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.outcome import Until
from harness.runs.environment import Environment
from harness.runs.nights.beginning import NightBeginning
from harness.runs.nights.cellrunner import NightTask
from harness.runs.nights.cells import key_of
from harness.runs.nights.controls import ControlAnswer
from harness.runs.nights.guests import NightGuests, guest_request_of
from harness.runs.nights.judge import NightJudge
from harness.runs.nights.kernels import NightKernels
from harness.runs.nights.nightrun import NightRun, expected_seconds
from harness.runs.nights.openplan import NightRequest, OpenPlan, open_plan
from harness.runs.nights.search import NightSearch
from harness.runs.nights.sources import NightSources, ranked
from harness.runs.nights.timing import NightTiming
from harness.runs.view import Unseen
from harness.source.firstparents import BranchCommit

SLOT = Slot("tree:main", "boot-none-numa2")
CELL = NightCell(SLOT, "boot", "none", numa="2", accelerator="tcg")
NOTHING = cast("Any", None)


@contextmanager
def opened(nights: Nights, **keys: Any) -> Iterator[tuple[OpenPlan, Environment]]:
    """Yield the plan of some nights, with an environment that boots their guests."""
    with nights.environment() as env:
        yield open_plan(replace(NightRequest(nights.directory / "nightly.toml"), **keys), env), env


def beginning(plan: OpenPlan, env: Environment, budget: float | None = None) -> NightBeginning:
    return NightBeginning(plan, env, Unseen(), budget, None)


def kernels_of(plan: OpenPlan, env: Environment, tip: str = "") -> NightKernels:
    branches = [BranchNight(each.name, each.source, tip) for each in plan.branches]
    sources = NightSources(env, Unseen())
    return NightKernels.of(env, Unseen(), sources, plan.branches, branches)


# --- how a night begins -----------------------------------------------------------------------


def test_the_first_night_compares_with_nothing_and_has_the_plans_budget(tmp_path: Path) -> None:
    nights = Nights(tmp_path, keys='budget = "2h"')
    with opened(nights) as (plan, env):
        sources = NightSources(env, Unseen())
        begins = beginning(plan, env)
        assert begins.resumed() is None
        night = begins.new(sources)
        assert (night.compared_with, night.budget, night.number) == (None, 7200.0, 0)
        assert night.notes == (
            "it is the first night that is judged: everything that fails is new",
        )
        assert beginning(plan, env, 60.0).new(sources).budget == 60.0
        stored = begins.begun(night)
        assert stored.number == 1
        resumed = begins.resumed()
        assert resumed is not None
        assert resumed.number == 1


def test_a_killed_night_of_other_branches_is_stopped_and_another_begins(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    with opened(nights) as (plan, env):
        begins = beginning(plan, env)
        begins.begun(begins.new(NightSources(env, Unseen())))
        changed = replace(plan, branches=(replace(plan.branches[0], name="tree:stable"),))
        assert beginning(changed, env).resumed() is None
        last = plan.reader.last()
        assert last is not None
        assert (last.state, last.exit_code) == (NightState.STOPPED, 3)
        assert "the plan has other branches now" in last.notes[-1]


# --- sources, kernels and guests --------------------------------------------------------------


def test_the_tip_is_tested_first_and_then_the_middle() -> None:
    commits = [BranchCommit(f"c{n}", f"c{n - 1}", "", "", None) for n in range(1, 6)]
    revisions = ranked("tree:main", commits)
    assert [each.place for each in revisions] == [1, 2, 3, 4, 5]
    assert revisions[-1].rank == 0
    assert sorted(each.rank for each in revisions) == [0, 1, 2, 3, 4]
    assert ranked("tree:main", []) == []


def test_a_source_without_a_history_has_no_tree_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    with fake_environment(tmp_path, boots, FakeProvider(tmp_path)) as env:
        sources = NightSources(env, Unseen())
        assert sources.tree("embedded") is None
        assert sources.commit("embedded", "abc").name == "abc"
        assert sources.fetch("embedded") == ""
        with pytest.raises(UsageError, match="has no history"):
            sources.tree("/none")


def test_a_cells_kernel_is_requested_as_by_other_commands(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    with opened(nights) as (plan, env):
        kernels = kernels_of(plan, env)
        cell = replace(CELL, mutant="drop-commit", options=("INVARIANTS=n",), world="slim")
        what = kernels.request(cell, nights.commits[0])
        assert (what.source, what.change.revision) == (str(nights.tree), nights.commits[0])
        assert (what.change.mutant, what.userland) == ("drop-commit", True)
        assert what.options.words.strip()
        plain = kernels.request(CELL, nights.commits[0])
        assert (plain.change.mutant, plain.userland) == (None, False)


def test_a_cells_guest_is_requested_as_by_other_commands() -> None:
    cell = replace(CELL, method="direct", until="mountroot", tunables={"a": "1"}, timeout=9.0)
    asked = guest_request_of(cell)
    assert (asked.numa, asked.method, asked.accelerator) == ("2", "direct", "tcg")
    assert (asked.until, asked.timeout, asked.tunables) == (Until.MOUNTROOT, 9.0, {"a": "1"})
    trusted = guest_request_of(replace(cell, accelerator="kvm"), trusted=True, loader=True)
    assert (trusted.accelerator, trusted.method) == ("tcg", BootMethod.LOADER.value)
    assert guest_request_of(replace(cell, world="tests")).until is Until.SSH


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mutant": "no-such"}, "no-such"),
        ({"kind": "check", "subsystem": "uam"}, "there is no subsystem 'uam'"),
        ({"numa": "0"}, "0"),
        ({"numa": None, "vm": "no-such"}, "no-such"),
    ],
)
def test_a_cell_that_can_never_run_is_refused_with_its_name(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    nights = Nights(tmp_path)
    with opened(nights) as (plan, env):
        guests = NightGuests(env, Unseen(), kernels_of(plan, env, nights.commits[0]))
        with pytest.raises(UsageError) as refused:
            guests.refuse_impossible([replace(CELL, **changed)])
        NightGuests(env, Unseen(), guests.kernels).refuse_impossible([CELL])
    assert SLOT.cell in str(refused.value)
    assert words in str(refused.value)


def test_a_result_is_found_again_by_its_task() -> None:
    task = NightTask(CELL, "c" * 40, Purpose.REPEAT, 3)
    result = Result(SLOT, "c" * 40, Status.PASSED, purpose=Purpose.REPEAT, attempt=3)
    assert key_of(result) == task.key
    assert key_of(replace(result, attempt=4)) != task.key
    assert replace(task, trusted=True).key == task.key


# --- budget, controls, search -----------------------------------------------------------------


def run_of(plan: OpenPlan, env: Environment, night: Night) -> NightRun:
    run = NightRun(plan, env, Unseen())
    run.night, run.started = night, env.clock.monotonic()
    return run


def test_a_budget_counts_the_time_before_a_kill_too(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    with opened(nights) as (plan, env):
        night = Night("made", 1, NightState.RUNNING, env.clock.now(), budget=100.0, spent=50.0)
        run = run_of(plan, env, night)
        env.clock.sleep(10)
        assert not run.spent()
        assert run.spent(0.6)
        assert run.spent(more=40.0)
        env.clock.sleep(40)
        assert run.spent()
        assert not run_of(plan, env, replace(night, budget=None)).spent(more=1e9)


def test_a_cell_that_was_never_booted_takes_the_usual_time(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    with opened(nights) as (plan, _):
        assert expected_seconds(plan.reader, []) == 0
        assert expected_seconds(plan.reader, [SLOT, SLOT]) == 40.0


def test_a_silent_control_is_a_sentence_of_the_night() -> None:
    result = Result(SLOT, "c" * 40, Status.FAILED, purpose=Purpose.CONTROL)
    silent = [ControlResult(result, 1), ControlResult(result, 3)]
    one, three = ControlAnswer([], silent).notes()
    assert "something else made its attempt fail" in one
    assert "something else made its 3 attempts fail" in three
    assert ControlAnswer([], []).notes() == []


def test_without_budget_nothing_is_searched() -> None:
    search = NightSearch(NOTHING, {}, NOTHING, lambda: True)
    for found in (search.culprit(NOTHING, NOTHING), search.fix(NOTHING, NOTHING)):
        assert found == "the budget is spent"


def cells_of(*branches: BranchNight) -> Any:
    night = SimpleNamespace(branches=branches, revisions=(), number=2, compared_with=None)
    return SimpleNamespace(night=night, results={})


@pytest.mark.parametrize("base", ["", "c" * 40])
def test_boots_are_compared_only_where_something_is_new(base: str) -> None:
    """There is no history to read: the reader would fail."""
    cells = cells_of(BranchNight("tree:main", "tree", "c" * 40, base))
    timing = NightTiming(cells, {SLOT: CELL}, NOTHING, NOTHING, NOTHING, lambda: False)
    assert timing.slowdowns() == []


def test_a_night_in_which_all_passes_has_no_problem(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    with opened(nights) as (plan, env):
        cells = cells_of(BranchNight("tree:main", "tree", "c" * 40, ""))
        cells.results = {"one": Result(SLOT, "c" * 40, Status.PASSED)}
        search = NightSearch(cells, {SLOT: CELL}, NOTHING, lambda: False)
        today = env.clock.now().date()
        judge = NightJudge(cells, {SLOT: CELL}, plan.reader, search, (), today, lambda: False)
        assert judge.judge() == []
        assert judge.flakier == set()
