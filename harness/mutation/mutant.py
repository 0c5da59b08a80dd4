"""Mutants: small named changes of the kernel's source, made by structure.

A mutant names a function and what to do to its statements. It therefore fits every tree in which
the function still does these things, wherever it stands and however it is laid out, and is refused
on every other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.cedit.csource import Cause, Mismatch, read_function
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cedit.edits import Edit

_REMEDIES: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.FUNCTION_MISSING: "Take a FreeBSD tree, 13.0 or later, that has the function there.",
        Cause.FUNCTION_TWICE: "Leave one definition in the file: which one is built is not known.",
        Cause.UNREADABLE: "Mend the function, or give the change as a patch with --patch.",
        Cause.PREPROCESSOR_SPLIT: "Give the change as a patch with --patch.",
        Cause.STATEMENT_ABSENT: "Take a tree that has it, or run this one without the mutant.",
        Cause.STATEMENT_CHANGED: "Compare with the function below; give the change with --patch.",
        Cause.STATEMENT_TWICE: "Give the change as a patch with --patch: it must be unambiguous.",
    }
)

#: Where a file goes on with what kernels without ``options NUMA`` have instead.
_NOT_NUMA = re.compile(rb"^[ \t]*#[ \t]*else[ \t]*/\*[ \t]*!NUMA\b", re.MULTILINE)


def numa_part(text: bytes) -> bytes:
    """The text as far as kernels with ``options NUMA`` have it; the whole, if it says nothing."""
    return _NOT_NUMA.split(text, maxsplit=1)[0]


#: Forms of the code that some mutants are for.
COUNTED = "iterators that count their steps, as in 13.x"
MASKED = "iterators that remember domains in masks, as in 15.x"


class MutantRefused(UsageError):  # noqa: N818 - says what happened, as the mutant is not at fault
    """The mutant does not fit the source; ``detail`` has the function's text as found."""

    def __init__(self, mutant: Mutant, mismatch: Mismatch) -> None:
        only = f" The mutant is for {mutant.only}." if mutant.only else ""
        super().__init__(
            f"Mutant {mutant.name} does not fit {mutant.path}, function {mutant.function}: "
            f"{mismatch.cause}: {mismatch.finding}.",
            remedy=_REMEDIES[mismatch.cause] + only,
            detail=mismatch.excerpt,
        )
        self.cause = mismatch.cause


@dataclass(frozen=True, slots=True)
class Mutant:
    """A named change of one function.

    Attributes:
        name: what the user calls it.
        description: one line that says what the kernel lacks or does wrong with it.
        path: the file in the tree, for example ``sys/vm/vm_page.c``.
        function: the C function that is changed.
        edits: the changes, made in this order.
        only: the one form of the code that it is for; empty for every form.
        equivalent: why no kernel can behave otherwise with it, from the source; empty if one can.
    """

    name: str
    description: str
    path: PurePosixPath
    function: str
    edits: tuple[Edit, ...]
    only: str = ""
    equivalent: str = ""

    def apply(self, text: bytes) -> bytes:
        """The file's text with the mutant in it, fit for a build with ``-Werror``.

        A label that loses its last ``goto`` goes too (clang's -Wunused-label).

        Raises:
            MutantRefused: the text is not as the mutant expects.
        """
        numa = numa_part(text)
        rest = text[len(numa) :]
        try:
            for edit in self.edits:
                numa = self._applied(edit, numa)
        except Mismatch as mismatch:
            raise MutantRefused(self, mismatch) from mismatch
        return numa + rest

    def _applied(self, edit: Edit, text: bytes) -> bytes:
        before = read_function(text, self.function)
        after = read_function(edit.apply(before), self.function)
        return after.without_labels(before.goto_labels() - after.goto_labels())


@dataclass(frozen=True, slots=True)
class InFunction:
    """Makes the mutants of one function, and names them after it; those of the commit keep theirs.

    Args:
        path: the file in the tree.
        function: the C function.
    """

    path: str
    function: str

    def __call__(
        self, name: str, description: str, *edits: Edit,
        only: str = "", equivalent: str = "",
    ) -> Mutant:  # fmt: skip
        """One of them; see `Mutant`."""
        full_name = name if name.startswith("drop-") else f"{self.function}.{name}"
        return Mutant(
            full_name, description, PurePosixPath(self.path), self.function, edits,
            only, equivalent,
        )  # fmt: skip
