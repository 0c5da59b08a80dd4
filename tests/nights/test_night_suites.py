"""Suites of kyua(1) in a plan: each test is read, stored, judged, told, shown and exported."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcidb_io.schema import LATEST

from harness.history.database import Database
from harness.history.nights import NightReader
from harness.history.past import PastNights
from harness.history.store import NightStore
from harness.history.url import HistoryLocation
from harness.nightly.failures import COMMAND, TEST, FailureKey, failures_of, grouped, seen_as
from harness.nightly.judgement import Repeats, incidents_of, judged, seen_problem
from harness.nightly.junit import night_junit
from harness.nightly.kcidb import kcidb_lines
from harness.nightly.news import NightChange, news_of
from harness.nightly.night import (
    BranchNight,
    Classification,
    JudgedNight,
    Night,
    NightState,
    RevisionNight,
)
from harness.nightly.result import CaseResult, Result, Slot, Status
from harness.pages.nightviews import NightViews, PlannedCells
from harness.runs.nights.suites import case_results, one_test

SLOT = Slot("tree:main", "command-none-numa2")
COMMAND_LINE = "kyua test -k /usr/tests/sys/vm/Kyuafile"
OUTPUT = b"""\
mmap_test:mmap__map_at_zero  ->  passed  [0.012s]
mmap_test:mmap__bad_arguments  ->  failed: 3 checks failed  [0.020s]
page_fault_signal:main  ->  skipped: needs <b>root</b>  [0.001s]
shared_shadow_inval_test:main  ->  broken: Test case timed out  [300.1s]
stack/stack_guard:grow  ->  expected_failure: PR 1  [0.5s]

Results file id is usr_tests_sys_vm.20260102-000000-000000
Results saved to /root/.kyua/store/results.usr_tests_sys_vm.db

3/5 passed (2 failed)
"""
BAD = "sys/vm/mmap_test:mmap__bad_arguments"
GOOD = "sys/vm/mmap_test:mmap__map_at_zero"


def suite(commit: int, *bad: str, names: tuple[str, ...] = (BAD, GOOD)) -> Result:
    """Return the result of a suite at a revision."""
    tests = tuple(
        CaseResult(name, "failed" if name in bad else "passed", name not in bad, "a\x1b[31m<b>")
        for name in names
    )
    status = Status.FAILED if bad else Status.PASSED
    title = f"the command failed: {COMMAND_LINE}" if bad else ""
    return Result(
        SLOT, str(commit), status, id=commit + 1, kind=COMMAND if bad else "boot", title=title,
        record_cell="made", tests=tests,
    )  # fmt: skip


def test_the_results_of_a_suite_are_read_with_the_names_that_kyua_test_has() -> None:
    found = case_results(COMMAND_LINE, OUTPUT)
    assert [(each.name, each.outcome, each.good) for each in found] == [
        (GOOD, "passed", True),
        (BAD, "failed", False),
        ("sys/vm/page_fault_signal:main", "skipped", True),
        ("sys/vm/shared_shadow_inval_test:main", "broken", False),
        ("sys/vm/stack/stack_guard:grow", "expected failure", True),
    ]
    assert found[1].reason == "3 checks failed"
    assert found[1].seconds == 0.02
    more = case_results("cd /usr/tests && kyua test", OUTPUT)
    assert [each.name for each in more][:1] == ["mmap_test:mmap__map_at_zero"]


def test_a_suite_that_did_not_end_tells_nothing_of_its_tests() -> None:
    assert case_results(COMMAND_LINE, OUTPUT.partition(b"Results")[0]) == ()
    assert case_results("true", b"") == ()


@given(st.binary(max_size=300))
def test_any_output_is_read(output: bytes) -> None:
    names = [each.name for each in case_results(COMMAND_LINE, OUTPUT + output)]
    assert len(set(names)) == len(names) >= 5


@pytest.mark.parametrize(
    ("command", "name", "expected"),
    [
        (COMMAND_LINE, BAD, f"{COMMAND_LINE} mmap_test:mmap__bad_arguments"),
        (f" {COMMAND_LINE}\n", BAD, f"{COMMAND_LINE} mmap_test:mmap__bad_arguments"),
        (COMMAND_LINE, "sys/kern/a:b", None),
        ("kyua test -k /usr/tests/sys/Kyuafile; true", "sys/a:b", None),
        ("true", "a:b", None),
    ],
)
def test_one_test_of_a_suite_can_be_run(command: str, name: str, expected: str | None) -> None:
    assert one_test(command, name) == expected


def test_each_failing_test_is_a_failure_and_the_command_is_not() -> None:
    failed = suite(1, BAD)
    assert failures_of(failed) == (FailureKey(TEST, BAD),)
    assert seen_as(failed, FailureKey(TEST, BAD)).status is Status.FAILED
    assert seen_as(failed, FailureKey(TEST, GOOD)).status is Status.PASSED
    assert seen_as(failed, FailureKey(TEST, "gone:main")).status is Status.NOT_RUN
    assert seen_as(failed, FailureKey("boot", "a panic")).status is Status.PASSED
    without = replace(failed, tests=())
    assert failures_of(without) == (FailureKey(COMMAND, failed.title),)
    panicked = replace(failed, kind="boot", title="panic: vm")
    assert failures_of(panicked) == (FailureKey("boot", "panic: vm"), FailureKey(TEST, BAD))


@pytest.mark.parametrize(
    ("repeats", "kind"),
    [
        ((BAD,) * 5, Classification.REGRESSION),
        ((BAD, "", "", "", ""), Classification.FLAKY),
        (("",) * 5, Classification.UNDECIDED),
        ((GOOD,) * 5, Classification.UNDECIDED),  # another test fails
    ],
)
def test_a_test_is_judged_by_its_own_repeats(
    repeats: tuple[str, ...], kind: Classification
) -> None:
    results = [suite(0), suite(1, GOOD), suite(2, BAD, GOOD)]
    places = {(SLOT.branch, str(place)): place for place in range(3)}
    failure = FailureKey(TEST, BAD)
    (incident,) = incidents_of(failure, grouped(results)[failure], results, places)
    assert (incident.last_good, incident.first_bad) == ("1", "2")
    counts = Repeats()
    for bad in repeats:
        counts = counts.with_result(failure, suite(2, *filter(None, [bad])))
    tips = {SLOT.branch: "2"}
    seen = seen_problem(failure, [SLOT], results, (incident,), places, tips)
    problem = judged(None, replace(seen, repeats=counts), 1, "made")
    assert problem.classification is kind
    assert (problem.kind, problem.title) == (TEST, BAD)
    after = [suite(3, GOOD)] * 40
    places[SLOT.branch, "3"] = 3
    seen = seen_problem(failure, [SLOT], after, (), places, {SLOT.branch: "3"})
    assert seen.fixed_at_tip
    assert not judged(problem, seen, 2, "made").open or kind is not Classification.REGRESSION


def a_night(*results: Result) -> JudgedNight:
    problem = judged(None, seen_problem(FailureKey(TEST, BAD), [SLOT], results, (), {}, {}), 1, "m")
    night = Night(
        "made", 1, NightState.ENDED, datetime(2026, 1, 2, tzinfo=UTC),
        branches=(BranchNight(SLOT.branch, "tree", "1"),),
        revisions=(RevisionNight(SLOT.branch, "1", "0", 1, 0),),
    )  # fmt: skip
    return JudgedNight(night, results, (problem,), ())


def test_tests_are_exported() -> None:
    found = a_night(suite(1, BAD))
    text = night_junit(found).decode()
    assert f'name="{BAD}"' in text
    assert text.count("<testcase") == 3
    assert text.count("<failure") == 2
    assert "\x1b" not in text
    documents = list(kcidb_lines(found))
    for document in documents:
        LATEST.validate(document)
        json.dumps(document)
    tests = {each["path"]: each["status"] for each in documents[0]["tests"]}
    assert tests == {
        "command-none-numa2": "FAIL",
        "command-none-numa2.sys.vm.mmap_test_mmap__bad_arguments": "FAIL",
        "command-none-numa2.sys.vm.mmap_test_mmap__map_at_zero": "PASS",
    }


def test_tests_are_stored_and_shown_with_their_problems(history: HistoryLocation) -> None:
    database = Database.open(history)
    store = NightStore(database, "made")
    found = a_night(suite(1, BAD))
    night = store.begin(replace(found.night, number=0), [], 86400.0)
    stored = store.add(night, found.results[0])
    assert store.add(night, found.results[0]) == stored  # a killed night goes on
    reader = NightReader(database, "made")
    (read,) = reader.results(night)
    assert read.tests == tuple(
        replace(each, reason="a\x1b[31m<b>") for each in found.results[0].tests
    )
    assert reader.cell_results.tests(SLOT, 2) == read.tests
    assert reader.cell_results.tests(SLOT, 1) == ()
    views = NightViews(found, PlannedCells({}), PastNights(reader))
    rows = views.tests(SLOT)
    assert [(row.case.name, row.problem) for row in rows] == [
        (BAD, found.problems[0]), (GOOD, None),
    ]  # fmt: skip


def test_tests_that_a_suite_no_longer_has_are_told() -> None:
    gone = [f"sys/vm/gone:{number}" for number in range(5)]
    (news,) = news_of(NightChange(2, {}, (), vanished_tests={SLOT: gone}))
    assert news.text == (
        "5 tests of tree:main command-none-numa2 are gone: sys/vm/gone:0 and 4 more"
    )
    (news,) = news_of(NightChange(2, {}, (), vanished_tests={SLOT: gone[:1]}))
    assert news.text == "1 test of tree:main command-none-numa2 is gone: sys/vm/gone:0"
