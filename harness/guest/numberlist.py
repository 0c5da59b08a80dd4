"""Lists of numbers on the command line: ``4``, ``1,2,4``, ``1-8``, ``0x10``."""

from __future__ import annotations

import re
from typing import Final

from harness.errors import UsageError

_NUMBER: Final = r"\s*(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})\s*"
_RANGE: Final = re.compile(rf"{_NUMBER}(?:-{_NUMBER})?", re.ASCII)

#: Most numbers in one argument.
_MOST_NUMBERS: Final = 999


def parse_numbers(text: str, allowed: range, what: str, *, few: str, many: str) -> tuple[int, ...]:
    """Parse decimal or hexadecimal (``0x1f``) numbers and ranges; drop repetitions.

    Args:
        text: the argument.
        allowed: the valid numbers.
        what: what the numbers are, in words.
        few: error text for smaller numbers.
        many: error text for larger numbers.

    Raises:
        UsageError: a wrong form, out of range, or more than 999 numbers.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            why = f"{part.strip()!r} is neither a number nor a range"
        else:
            first, last = _number(match[1]), _number(match[2] or match[1])
            if first > last:
                why = f"the range {part.strip()} runs backwards"
            elif first not in allowed:
                why = few if first < allowed.start else many
            elif last not in allowed:
                why = many
            elif len(numbers) + last - first >= _MOST_NUMBERS:
                why = f"more than {_MOST_NUMBERS} numbers"
            else:
                numbers += range(first, last + 1)
                continue
        most = allowed.stop - 1
        raise UsageError(
            f"{what} {text!r}: {why}",
            remedy=f"give numbers from {allowed.start} to {most}, such as 4 or 1,2,4 or "
            f"1-{min(most, _MOST_NUMBERS)}",
        )
    return tuple(dict.fromkeys(numbers))


def _number(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)  # 07 is 7
