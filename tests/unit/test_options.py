"""Options that several commands share, and what they come to."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.compare import parse_expectations
from harness.cli.main import run
from harness.cli.options import DIRECTORY, FiniteRange, parse_tunables
from harness.errors import UsageError
from harness.outcome import Outcome
from harness.runs.compare import Pair


def test_tunables_end_at_the_first_equals_sign_and_the_last_one_counts() -> None:
    assert parse_tunables(("a=1", "b.c=x=y", "d=", "a=2")) == {"a": "2", "b.c": "x=y", "d": ""}


@pytest.mark.parametrize("pair", ["", "a", "=1", "="])
def test_tunable_without_a_name_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="does not have the form NAME=VALUE"):
        parse_tunables((pair,))


@given(st.dictionaries(st.from_regex(r"[^=]+", fullmatch=True), st.text()))
def test_tunables_are_read_as_they_are_written(tunables: dict[str, str]) -> None:
    assert parse_tunables(tuple(f"{name}={value}" for name, value in tunables.items())) == tunables


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), {}),
        (("before=panic,after=booted",),
         {(None, "before"): (Outcome.PANIC,), (None, "after"): (Outcome.BOOTED,)}),
        (("2,4:before=panic",), {(2, "before"): (Outcome.PANIC,), (4, "before"): (Outcome.PANIC,)}),
        (("1-3:after=hang",), {(n, "after"): (Outcome.HANG,) for n in (1, 2, 3)}),
        (("before=panic", "before=kasan"), {(None, "before"): (Outcome.PANIC, Outcome.KASAN)}),
        (("1:before=booted", "2,4:before=panic"),
         {(1, "before"): (Outcome.BOOTED,), (2, "before"): (Outcome.PANIC,),
          (4, "before"): (Outcome.PANIC,)}),
    ],
)  # fmt: skip
def test_expectations(
    texts: tuple[str, ...], expected: dict[tuple[int | None, str], tuple[Outcome, ...]]
) -> None:
    assert parse_expectations(texts) == (expected, frozenset())


@pytest.mark.parametrize(
    "text",
    ["", "panic", "before", "before=", "before=panik", "Before=panic", "middle=panic",
     "before=panic,", ":before=panic", "0:before=panic", "9:before=panic", "x:before=panic",
     "before=panic:after=booted"],
)  # fmt: skip
def test_expectation_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_expectations((text,))


@given(st.text(alphabet="0123456789,-:=beforaftpnic ", max_size=30))
def test_any_expectation_is_read_or_refused(text: str) -> None:
    try:
        found, _ = parse_expectations((text,))
    except UsageError:
        return
    assert found
    assert all(side in ("before", "after") for _, side in found)


def test_pair_tells_how_it_was_named() -> None:
    assert Pair().ways() == []
    assert Pair(commit="a").ways() == ["--commit"]
    assert Pair(before="a").ways() == Pair(after="a").ways() == ["--before and --after"]
    assert Pair(commit="a", mutant="m").ways() == ["--commit", "--mutant"]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "0.5", "x"])
def test_a_limit_that_is_no_finite_number_in_range_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        FiniteRange(min=1).convert(text, None, None)


@pytest.mark.parametrize(
    ("option", "name", "cause"),
    [
        ("--junit", "missing/x.xml", "there is no directory"),
        ("--junit", "file/x.xml", "there is no directory"),
        ("--out", "missing/runs", "there is no directory"),
        ("--out", "file", "is a file"),
        ("--junit", ".", "is a directory"),
    ],
)
def test_where_results_go_is_checked_before_anything_runs(
    option: str, name: str, cause: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache/harness").mkdir(mode=0o700, parents=True)  # any command makes it
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert run(["boot", "--source", "embedded", option, str(tmp_path / name)]) == 2
    assert cause in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_the_working_directory_is_a_directory_like_another() -> None:
    assert DIRECTORY.convert(".", None, None) == Path()
    with pytest.raises(click.BadParameter, match="empty"):
        DIRECTORY.convert("", None, None)


def test_results_of_a_command_can_be_expected() -> None:
    outcomes, bad = parse_expectations(("4:before=bad,after=good",), with_command=True)
    assert outcomes == {(4, "before"): (Outcome.BOOTED,), (4, "after"): (Outcome.BOOTED,)}
    assert bad == {(4, "before")}


def test_without_a_command_no_result_of_one_can_be_expected() -> None:
    with pytest.raises(UsageError, match="is not SIDE=OUTCOME"):
        parse_expectations(("before=bad",))
