"""Generated mutants: every single small change of a function."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from harness.cedit.csource import Mismatch
from harness.cedit.masks import read_masked
from harness.cedit.mutations import NthMutation, mutations
from harness.mutation.mutant import Mutant, numa_part

if TYPE_CHECKING:
    from harness.cedit.mutations import Exchanges

_NAME: Final = re.compile(r"(\w{1,64})#([1-9][0-9]{0,3})", re.ASCII)


def parse_name(name: str) -> tuple[str, int] | None:
    """Return function and ordinal from a generated mutant's name; None for another name."""
    found = _NAME.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def generated_mutant(
    path: str, function: str, ordinal: int, exchanges: Exchanges, description: str = ""
) -> Mutant:
    """Return the mutant with one of the possible changes of a function.

    Args:
        path: the file's path in the tree.
        function: the changed function.
        ordinal: the number of the change, from 1, in the order of the text.
        exchanges: see ``harness.cedit.mutations.mutations``.
        description: describes the change, if the text is known.
    """
    name = f"{function}#{ordinal}"
    return Mutant(
        name, description or f"change {ordinal} of {function}()", PurePosixPath(path), function,
        (NthMutation(ordinal, exchanges),), read=read_masked,
    )  # fmt: skip


def generated_mutants(
    path: str, text: bytes, function: str, exchanges: Exchanges
) -> Iterator[Mutant]:
    """Generate all mutants of a function; none if the file lacks it, or it cannot be parsed."""
    try:
        found = mutations(read_masked(numa_part(text), function), exchanges)
    except Mismatch:
        return
    for ordinal, each in enumerate(found, start=1):
        yield generated_mutant(path, function, ordinal, exchanges, each.description)
