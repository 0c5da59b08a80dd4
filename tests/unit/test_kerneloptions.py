"""Options on top of a kernel configuration."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.kernel.spec import kernel_config
from harness.kerneloptions import (
    NO_OPTIONS,
    REQUIRED,
    KernelOption,
    KernelOptions,
    parse_options,
    require_known,
)
from harness.sanitizers import KASAN, NONE, TABLE, Sanitizers

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True).filter(
    lambda name: name not in REQUIRED and name not in {row.option for row in TABLE}
)
VALUES = st.one_of(
    st.just(""),
    st.integers(0, 1 << 20).map(str),
    st.from_regex(r"[A-Z][A-Za-z0-9_./:-]{1,8}", fullmatch=True).filter(
        lambda value: value.lower() not in {"no", "off", "false"}
    ),
)
OPTIONS = st.one_of(
    st.builds(KernelOption, NAMES, VALUES), st.builds(KernelOption, NAMES, removed=st.just(True))
)
SETS = st.dictionaries(NAMES, OPTIONS, max_size=5).map(
    lambda found: KernelOptions(tuple(sorted({row.name: row for row in found.values()}.values())))
)


@given(SETS)
def test_text_is_read_back(options: KernelOptions) -> None:
    assert parse_options([str(options)]) == options
    assert parse_options(options.texts) == options


@given(SETS, SETS)
def test_different_options_have_different_names_and_configurations(
    some: KernelOptions, others: KernelOptions
) -> None:
    equal = some == others
    assert (some.label == others.label) is equal
    one, other = (kernel_config(NONE, options=each) for each in (some, others))
    assert (one.digest == other.digest) is equal
    assert (one.name == other.name) is equal
    assert re.fullmatch(r"[A-Za-z0-9_-]*", some.label)


def test_the_configuration_without_options_is_as_it_was() -> None:
    assert kernel_config(NONE, options=NO_OPTIONS) == kernel_config(NONE)


def test_a_removed_option_is_taken_out_and_a_value_replaces_another() -> None:
    config = kernel_config(Sanitizers({KASAN}), options=parse_options(["INVARIANTS=n,MAXCPU=64"]))
    assert config.name == "HARNESS-KASAN-no_INVARIANTS-MAXCPU-64"
    lines = [line.split() for line in config.text.splitlines()]
    assert lines.index(["nooptions", "INVARIANTS"]) > lines.index(["options", "INVARIANTS"])
    assert lines.index(["options", "MAXCPU=64"]) == lines.index(["nooptions", "MAXCPU"]) + 1
    assert lines[-1] == ["ident", config.name]


@pytest.mark.parametrize("name", REQUIRED)
def test_what_the_harness_needs_stays(name: str) -> None:
    with pytest.raises(UsageError, match=f"the harness needs {name}: "):
        parse_options([f"{name}=n"])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_sanitizers_have_flags_of_their_own(row: object) -> None:
    option = getattr(row, "option")  # noqa: B009 - any row of the table
    for text in (option, f"{option}=n"):
        with pytest.raises(UsageError, match=f"{option} is a sanitizer") as caught:
            parse_options([text])
        assert caught.value.remedy is not None
        assert f"--{option.lower()}" in caught.value.remedy


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["ddb"], "is not NAME"),
        ([""], "is not NAME"),
        (["DDB="], "is not NAME"),
        (["DDB\noptions EVIL"], "is not NAME"),
        (['MAXCPU=1"'], "is not NAME"),
        (["MAXCPU=1 2"], "is not NAME"),
        (["INVARIANTS=no"], "does not remove"),
        (["INVARIANTS=OFF"], "does not remove"),
        (["MAXCPU=4", "MAXCPU=5"], "contradicts --option MAXCPU=4"),
        (["DDB", "DDB=n"], "contradicts --option DDB"),
    ],
)
def test_bad_options_are_refused(texts: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        parse_options(texts)


LISTING = "# comment\nKDB\t\topt_global.h\nKDB_TRACE\topt_kdb.h\n#GONE opt_x.h\nDDB\n"


def test_options_that_the_tree_lists_are_known() -> None:
    require_known(parse_options(["KDB_TRACE", "DDB=n", "KDB"]), [LISTING])


@pytest.mark.parametrize(
    ("asked", "near"), [("KDB_TRACES", "did you mean KDB_TRACE"), ("GONE", "its options are")]
)
def test_an_unknown_option_names_those_that_are_near(asked: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"no kernel option {asked}") as caught:
        require_known(parse_options([asked]), [LISTING])
    assert near in str(caught.value.remedy)
