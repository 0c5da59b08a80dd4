"""Lists of numbers and ranges, as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.guest.numberlist import parse_numbers

ALLOWED = range(1, 2001)


def parsed(text: str) -> tuple[int, ...]:
    return parse_numbers(text, ALLOWED, "seeds", few="below 1", many="above 2000")


PARTS = st.lists(
    st.tuples(st.integers(1, 1900), st.integers(0, 60)), min_size=1, max_size=10
)  # fmt: skip


@given(PARTS, st.sampled_from(["{}", "0x{:x}", " {} "]))
def test_numbers_and_ranges_are_read_in_their_order_each_once(
    parts: list[tuple[int, int]], form: str
) -> None:
    texts: list[str] = []
    numbers: list[int] = []
    for first, more in parts:
        ends = [form.format(first)] + ([form.format(first + more)] if more else [])
        texts.append("-".join(ends))
        numbers += range(first, first + more + 1)
    assert parsed(",".join(texts)) == tuple(dict.fromkeys(numbers))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is neither a number nor a range"),
        ("1,,2", "'' is neither"),
        ("1-2-3", "'1-2-3' is neither"),
        ("-1", "'-1' is neither"),
        ("\u0661", "is neither"),  # a digit that is not ASCII
        ("4-2", "the range 4-2 runs backwards"),
        ("0", "below 1"),
        ("2001", "above 2000"),
        ("5-2001", "above 2000"),
        ("1-1000", "more than 999 numbers"),
        ("1-500,501-1000", "more than 999 numbers"),
        ("99999999999999999999", "above 2000"),
    ],
)
def test_what_is_no_such_list_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(text)
    assert refused.value.message.startswith(f"seeds {text!r}: ")
    assert why in refused.value.message
    assert refused.value.remedy == "give numbers from 1 to 2000, such as 4 or 1,2,4 or 1-999"
