"""The table of sanitizers, sets of them, and the options that name them."""

from __future__ import annotations

import re
from copy import deepcopy
from itertools import combinations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.completion import complete_sanitizers
from harness.cli.sanitizers import AskedSanitizers
from harness.console.titles import report_title
from harness.errors import UsageError
from harness.guest.topology import Topology
from harness.guest.vmconfig import VmConfig
from harness.host.resources import data_file
from harness.runs.guests import sanitizers_of
from harness.sanitizers import (
    KASAN,
    KCSAN,
    KMSAN,
    KUBSAN,
    NONE,
    TABLE,
    Sanitizer,
    Sanitizers,
    parse_sanitizers,
    united,
    with_report,
)

EACH = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)

SETS = [
    Sanitizers(rows)
    for size in range(len(TABLE) + 1)
    for rows in combinations(TABLE, size)
    if sum(row.alone for row in rows) <= 1
]


def file_of(sanitizers: Sanitizers) -> VmConfig:
    return VmConfig("mine", "", sanitizers, Topology.even(1, 1, 1024))


@EACH
def test_each_row_has_a_fragment_that_sets_its_option(row: Sanitizer) -> None:
    text = data_file("images", "kernconf", row.name).read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert f"options\t\t{row.option}" in lines


@pytest.mark.parametrize("field", ["name", "option", "marker", "prefix"])
def test_no_two_rows_share_what_they_are_recognised_by(field: str) -> None:
    assert len({getattr(row, field) for row in TABLE}) == len(TABLE)


@EACH
def test_reports_of_each_row_begin_with_its_prefix_and_with_no_other(row: Sanitizer) -> None:
    assert row.report.startswith(row.prefix)
    assert with_report(f"{row.prefix}anything") is row
    assert not [other for other in TABLE if other is not row and re.match(other.report, row.prefix)]


@pytest.mark.parametrize("sanitizers", SETS, ids=str)
def test_text_of_a_set_is_read_back_equal(sanitizers: Sanitizers) -> None:
    assert parse_sanitizers(str(sanitizers)) == sanitizers


@given(st.permutations([KASAN, KUBSAN]), st.sampled_from([",", "+", " , "]))
def test_names_may_stand_in_any_order(rows: list[Sanitizer], between: str) -> None:
    text = between.join(row.name.upper() for row in rows)
    assert parse_sanitizers(text) == Sanitizers(rows)


def test_a_copy_of_a_set_has_the_same_text() -> None:
    """Documents are made of copies."""
    for sanitizers in SETS:
        assert str(deepcopy(sanitizers)) == str(sanitizers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kasan,kmsan", "KASAN and KMSAN exclude each other"),
        ("kmsan,kasan", "KASAN and KMSAN exclude each other"),
        ("kcsan+kmsan", "KMSAN and KCSAN exclude each other"),
        ("kasna", "there is no sanitizer 'kasna'"),
        ("", "there is no sanitizer ''"),
        ("kasan,", "there is no sanitizer ''"),
        ("none,kasan", "there is no sanitizer 'none'"),
    ],
)
def test_what_is_no_set_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_sanitizers(text)


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as refused:
        parse_sanitizers("kmsn")
    assert "did you mean kmsan?" in str(refused.value.remedy)


def test_flags_and_names_of_one_kernel_are_united() -> None:
    assert AskedSanitizers((), ()).of_kernel() is None
    assert AskedSanitizers((KASAN,), ("kasan",)).of_kernel() == Sanitizers({KASAN})
    assert AskedSanitizers((), ("kmsan",)).of_kernel() == Sanitizers({KMSAN})
    with pytest.raises(UsageError, match="exclude each other"):
        AskedSanitizers((KASAN,), ("kmsan",)).of_kernel()


def test_the_guests_file_counts_where_nothing_is_asked_for() -> None:
    config = file_of(Sanitizers({KMSAN}))
    for asked, expected in (
        (AskedSanitizers((), ()), Sanitizers({KMSAN})),
        (AskedSanitizers((), ("none",)), NONE),
        (AskedSanitizers((KASAN,), ()), Sanitizers({KASAN})),
    ):
        assert sanitizers_of(asked.of_kernel(), config) == expected
    assert sanitizers_of(None, None) == NONE


def test_a_comparison_has_a_column_for_each_sanitizer_that_excludes_others() -> None:
    assert AskedSanitizers((), ()).columns() == ()
    both = AskedSanitizers((KASAN, KMSAN), ("none", "kasan"))
    assert both.columns() == (Sanitizers({KASAN}), Sanitizers({KMSAN}), NONE)


def test_a_flag_that_excludes_no_other_joins_the_columns_of_flags() -> None:
    asked = AskedSanitizers((KASAN, KCSAN, KUBSAN), ("kmsan",))
    assert [str(each) for each in asked.columns()] == ["kasan+kubsan", "kcsan+kubsan", "kmsan"]
    assert AskedSanitizers((KUBSAN,), ()).columns() == (Sanitizers({KUBSAN}),)
    assert AskedSanitizers((KASAN, KUBSAN), ()).of_kernel() == Sanitizers({KASAN, KUBSAN})


def test_sets_of_one_kernel_never_hold_two_that_exclude_each_other() -> None:
    for first, second in combinations(SETS, 2):
        if sum(row.alone for row in first | second) > 1:
            with pytest.raises(UsageError):
                united(first, second)
        else:
            assert united(first, second) == first | second


def test_each_outcome_of_a_report_belongs_to_one_row() -> None:
    outcomes = [row.outcome for row in TABLE if row.outcome is not None]
    assert len(set(outcomes)) == len(outcomes)
    assert outcomes == [KASAN.outcome, KMSAN.outcome]


def access(kind: str, function: str) -> str:
    return f"[Cpu1 {kind} Addr=0xfffffe0012345678 Size=8 PC=0xffffffff80b11111<{function}>]"


def test_title_of_a_race_is_the_same_whichever_access_finds_the_other() -> None:
    one, other = access("Write", "enqueue.cold"), access("Atomic Read", "dequeue")
    title = "CSan: Racy Access, Atomic Read in dequeue, Write in enqueue"
    assert report_title(f"CSan: Racy Access {one} {other}") == title
    assert report_title(f"CSan: Racy Access {other} {one}") == title


def test_title_of_an_overflow_has_no_values_and_no_line() -> None:
    titles = {
        report_title(
            f"UBSan: Undefined Behavior in /build/src/sys/dev/a.c:{line}:9, signed integer "
            f"overflow: {left} * {right} cannot be represented in type 'int'"
        )
        for line, left, right in ((7, 5, -2147483648), (1210, -1, 123456789))
    }
    assert titles == {
        "UBSan: Undefined Behavior in sys/dev/a.c, signed integer overflow: N * N cannot be "
        "represented in type 'int'"
    }


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["kasan", "kmsan", "kcsan", "kubsan"]),
        ("ku", ["kubsan"]),
        ("kasan,", ["kasan,kubsan"]),
        ("kubsan,kc", ["kubsan,kcsan"]),
        ("kasan,kmsan,", []),
        ("asan,", []),
    ],
)
def test_completion_offers_what_fits_beside_the_names_before(
    typed: str, offered: list[str]
) -> None:
    context = click.Context(click.Command("boot"))
    found = complete_sanitizers(context, click.Option(["--sanitizer"]), typed)
    assert [item.value for item in found] == offered
