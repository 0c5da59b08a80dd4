"""Recorded reasons of generated mutants that survive: they are equivalent, or not reached by any
kernel. A reason holds for one change of one text of a function, by digests of both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path


class ReasonKind(StrEnum):
    """What a reason argues."""

    EQUIVALENT = "equivalent"
    """the changed function does the same, whatever happens"""
    UNREACHABLE = "unreachable"
    """no kernel gets to where it does something else"""


@dataclass(frozen=True, slots=True)
class SurvivalReason:
    """Why a generated mutant survives.

    Args:
        mutant: its name.
        function: digest of the unchanged function; see ``GeneratedChange``.
        change: digest of the change.
        kind: what is argued.
        why: the argument, in one sentence.
        given: digests of other functions of the file that the argument depends on, by name.
    """

    mutant: str
    function: str
    change: str
    kind: ReasonKind
    why: str
    given: Mapping[str, str] = field(default_factory=dict)


class SurvivalReasons:
    """Reasons by mutant and digests.

    Raises:
        ValueError: there are two of one mutant.
    """

    def __init__(self, reasons: Iterable[SurvivalReason] = ()) -> None:
        self.all: Final = tuple(reasons)
        self._known: Final[Mapping[tuple[str, str, str], SurvivalReason]] = {
            (each.mutant, each.function, each.change): each for each in self.all
        }
        if len(self._known) < len(self.all):
            raise ValueError("a mutant has two reasons")

    def of(self, mutant: str, function: str, change: str, digest_of: Callable[[str], str]) -> str:
        """Return the reason in words; empty if there is none for that change of that text.

        Args:
            mutant: its name.
            function: digest of the unchanged function.
            change: digest of the change.
            digest_of: returns the digest of another function of the file; empty for none.
        """
        found = self._known.get((mutant, function, change))
        if found is None or any(digest_of(name) != each for name, each in found.given.items()):
            return ""
        return f"{found.kind}: {found.why}"


def read_reasons(path: Path | None) -> SurvivalReasons:
    """Return the reasons in a JSON file; none without a file.

    Raises:
        ValueError, KeyError, TypeError: the file is not as this module describes it.
        OSError: it cannot be read.
    """
    if path is None:
        return SurvivalReasons()
    entries = json.loads(path.read_bytes())["reasons"]
    return SurvivalReasons(
        SurvivalReason(**{**each, "kind": ReasonKind(each["kind"])}) for each in entries
    )
