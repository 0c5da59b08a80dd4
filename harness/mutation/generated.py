"""Generated mutants: every single small change of a function."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from harness.cedit.csource import Mismatch, tokens
from harness.cedit.masks import read_masked
from harness.cedit.mutations import NthMutation, mutations
from harness.mutation.mutant import Mutant, numa_part
from harness.mutation.reasons import SurvivalReasons

if TYPE_CHECKING:
    from harness.cedit.csource import Function
    from harness.cedit.mutations import Exchanges, FunctionMutation

_NO_REASONS: Final = SurvivalReasons()
_NAME: Final = re.compile(r"(\w{1,64})#([1-9][0-9]{0,3})", re.ASCII)


def parse_name(name: str) -> tuple[str, int] | None:
    """Return function and ordinal from a generated mutant's name; None for another name."""
    found = _NAME.fullmatch(name)
    return (found[1], int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class GeneratedChange:
    """A generated mutant's change in one text of its file.

    Args:
        line: of the first byte that is changed, from 1.
        column: of that byte, from 1.
        function: digest of the tokens of the function's body.
        change: digest of the tokens that are replaced, and of those in their place.
    """

    line: int
    column: int
    function: str
    change: str


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
    path: str,
    text: bytes,
    function: str,
    exchanges: Exchanges,
    reasons: SurvivalReasons = _NO_REASONS,
) -> Iterator[Mutant]:
    """Generate all mutants of a function; none if the file lacks it, or it cannot be parsed.

    Args:
        path: of the file in the tree.
        text: of the file.
        function: that is changed.
        exchanges: see ``harness.cedit.mutations.mutations``.
        reasons: why some of them survive.
    """
    for ordinal, (description, change) in enumerate(changes_of(text, function, exchanges), start=1):
        mutant = generated_mutant(path, function, ordinal, exchanges, description)
        digest_of = partial(function_digest, text)
        reason = reasons.of(mutant.name, change.function, change.change, digest_of)
        yield replace(mutant, equivalent=reason)


def changes_of(
    text: bytes, function: str, exchanges: Exchanges
) -> Iterator[tuple[str, GeneratedChange]]:
    """Generate all changes of a function, each with its description; see ``generated_mutants``."""
    try:
        read = read_masked(numa_part(text), function)
    except Mismatch:
        return
    for each in mutations(read, exchanges):
        yield each.description, _change(read, each)


def sampled(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return so many of the mutants, drawn by a seed, in their order; all, if there are fewer."""
    if count >= len(mutants):
        return list(mutants)
    rng = random.Random(seed)  # noqa: S311 - to be repeated
    return [mutants[place] for place in sorted(rng.sample(range(len(mutants)), count))]


def function_digest(text: bytes, function: str) -> str:
    """Return the digest of a function; see ``GeneratedChange``. Empty if it cannot be read."""
    try:
        return _body_digest(read_masked(numa_part(text), function))
    except Mismatch:
        return ""


def change_of(mutant: Mutant, text: bytes) -> GeneratedChange | None:
    """Return the change of a mutant in a text of its file; None for one that has a name.

    Raises:
        Mismatch: the text has no such function.
        IndexError: the function has no such change.
    """
    match mutant.edits:
        case (NthMutation(ordinal, exchanges),):
            read = mutant.read(numa_part(text), mutant.function)
            return _change(read, mutations(read, exchanges)[ordinal - 1])
    return None


def _change(function: Function, mutation: FunctionMutation) -> GeneratedChange:
    text, start = function.text, mutation.splice.start
    return GeneratedChange(
        text.count(b"\n", 0, start) + 1,
        start - text.rfind(b"\n", 0, start),
        _body_digest(function),
        _digest(mutation.before, mutation.splice.replacement),
    )


def _body_digest(function: Function) -> str:
    return _digest(function.text[function.body.start_byte : function.body.end_byte])


def _digest(*texts: bytes) -> str:
    words = b"\0".join(b" ".join(tokens(text)) for text in texts)
    return hashlib.sha256(words).hexdigest()[:16]
