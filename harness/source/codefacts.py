"""Protocols for what subsystems read from a tree's code, and for its named changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts that were read from a tree's code.

    Args:
        values: the facts by name; empty if there are none.
        assumed: where they were read from, if not from the code itself; else empty.
    """

    values: Mapping[str, bool] = field(default_factory=dict)
    assumed: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """Facts that were read from the texts of files.

    Args:
        values: the facts by name; None if a function has no known form.
        unknown: the functions without a known form.
    """

    values: Mapping[str, bool] | None
    unknown: tuple[str, ...]


Assumption = tuple[Mapping[str, bool], str]
"""Assumed values, and the reason."""


class CodeReader(Protocol):
    """Reads facts from files of a tree."""

    @property
    def name(self) -> str:
        """The name of the facts."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, relative to the top of the tree."""

    def read(self, texts: Sequence[bytes]) -> Reading:
        """Return the facts in the texts of the files, which are in the order of ``paths``."""

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        """Return assumed facts for code without a known form.

        Args:
            texts: the texts of the files.
            freebsd_version: ``__FreeBSD_version``; 0 if it is not known.
        """


class NamedChange(Protocol):
    """A change of one file, such as a mutant."""

    @property
    def path(self) -> PurePosixPath:
        """The file, relative to the top of the tree."""

    def apply(self, text: bytes) -> bytes:
        """Return the file's text with the change applied.

        Raises:
            UsageError: the change does not apply.
        """


def _no_change(name: str) -> NamedChange:
    raise LookupError(name)


@dataclass(frozen=True, slots=True)
class CodeReaders:
    """Readers and named changes of a tree's code.

    Args:
        readers: readers of its facts.
        change: returns the change with a name; raises UsageError if there is none.
        fix: returns the fix of a named case; raises UsageError if there is none.
        version: returns a digest of the readers' own code; empty: what they read is not kept.
    """

    readers: tuple[CodeReader, ...] = ()
    change: Callable[[str], NamedChange] = _no_change
    fix: Callable[[str], NamedChange] = _no_change
    version: Callable[[], str] = str


NOTHING = CodeReaders()
