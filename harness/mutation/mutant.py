"""Mutants: small, named changes of the kernel's source, made by structure.

A mutant names a function and edits of its statements. It applies to every tree whose function has
these statements, wherever the function is and however it is indented; other trees are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.cedit.csource import Cause, Function, Mismatch, read_function
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cedit.edits import Edit

_REMEDIES: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.FUNCTION_MISSING: "use a FreeBSD tree, 13.0 or later, whose file has the function",
        Cause.FUNCTION_TWICE: "leave one definition of the function in the file",
        Cause.UNREADABLE: "correct the function, or pass the change as a patch: --patch FILE",
        Cause.PREPROCESSOR_SPLIT: "pass the change as a patch: --patch FILE",
        Cause.STATEMENT_ABSENT: "use a tree that has the statement, or boot without --mutant",
        Cause.STATEMENT_CHANGED: "compare with the function below, or pass a patch: --patch FILE",
        Cause.STATEMENT_TWICE: "pass the change as a patch: --patch FILE",
    }
)

#: The start of code for kernels without ``options NUMA``.
_NOT_NUMA = re.compile(rb"^[ \t]*#[ \t]*else[ \t]*/\*[ \t]*!NUMA\b", re.MULTILINE)


def numa_part(text: bytes) -> bytes:
    """Return the text up to the code for kernels without ``options NUMA``, if there is any."""
    return _NOT_NUMA.split(text, maxsplit=1)[0]


#: Forms of the code, for mutants that apply to one of them only.
COUNTED = "counted iterators, as in 13.x"
MASKED = "masked iterators, as in 15.x"


class MutantRefused(UsageError):  # noqa: N818 - says what happened, as the mutant is not at fault
    """The mutant does not apply to the source; ``detail`` is the function's text in the tree."""

    def __init__(self, mutant: Mutant, mismatch: Mismatch) -> None:
        only = f"; the mutant applies to {mutant.only}" if mutant.only else ""
        super().__init__(
            f"mutant {mutant.name} does not apply to {mutant.function}() in {mutant.path}: "
            f"{mismatch.cause}: {mismatch.finding}",
            remedy=_REMEDIES[mismatch.cause] + only,
            detail=mismatch.excerpt,
        )
        self.cause = mismatch.cause


@dataclass(frozen=True, slots=True)
class Mutant:
    """A named change of one function.

    Attributes:
        name: the argument of ``--mutant``.
        description: one line: what the changed kernel lacks or does wrong.
        path: the file in the tree, for example ``sys/vm/vm_page.c``.
        function: the C function that is changed.
        edits: the changes, made in this order.
        only: the one form of the code that it applies to; empty for every form.
        equivalent: why the changed kernel behaves as the unchanged one; empty if it does not.
        read: finds the function in a text; see ``read_function``.
    """

    name: str
    description: str
    path: PurePosixPath
    function: str
    edits: tuple[Edit, ...]
    only: str = ""
    equivalent: str = ""
    read: Callable[[bytes, str], Function] = read_function

    def apply(self, text: bytes) -> bytes:
        """Return the file's text with the mutant applied; it builds with ``-Werror``.

        A label that loses its last ``goto`` is removed (clang's -Wunused-label).

        Raises:
            MutantRefused: the mutant does not apply to the text.
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
        before = self.read(text, self.function)
        after = self.read(edit.apply(before), self.function)
        return after.without_labels(before.goto_labels() - after.goto_labels())


@dataclass(frozen=True, slots=True)
class InFunction:
    """Creates mutants of one function, named after it unless their name starts with ``drop-``.

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
        """Return a mutant; the arguments are attributes of `Mutant`."""
        full_name = name if name.startswith("drop-") else f"{self.function}.{name}"
        return Mutant(
            full_name, description, PurePosixPath(self.path), self.function, edits,
            only, equivalent,
        )  # fmt: skip
