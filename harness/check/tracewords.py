"""Lines of traces: a verb, and words such as ``size=16``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from harness.errors import UsageError

T = TypeVar("T")

_WORD: Final = re.compile(r"([a-z]+)=(\S+)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


def read_line(text: str, readers: Mapping[str, Callable[[Mapping[str, str]], T]]) -> T:
    """Return the operation of a line.

    Args:
        text: the line.
        readers: by verb, what returns the operation that the words describe; it raises KeyError
            for a word that is missing, and ValueError for one that is invalid.

    Raises:
        UsageError: the line is not an operation.
    """
    verb, _, rest = text.strip().partition(" ")
    if verb not in readers:
        raise UsageError(
            f"there is no operation {verb[:40]!r}", remedy=f"known: {', '.join(readers)}"
        )
    try:
        return readers[verb](dict(_WORD.findall(rest)))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"the line {text.strip()[:80]!r} lacks a value, or has an invalid one: {error}",
            remedy="write it as harness check prints it",
        ) from error


def number(words: Mapping[str, str], key: str, limit: int) -> int:
    """Return a number below a limit among the words of a line.

    Raises:
        KeyError: there is no such word.
        ValueError: it is not such a number.
    """
    text = words[key]
    if not _NUMBER.fullmatch(text) or int(text) >= limit:
        raise ValueError(f"{key}={text[:40]} is no number below {limit}")
    return int(text)
