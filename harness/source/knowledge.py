"""What others know of a tree's code: how it is read, and which changes of it have a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of a tree's code, by whoever knows that part of it.

    Args:
        values: by name; empty where nothing is known.
        assumed: what they were read of instead of the code itself; empty where they are its own.
    """

    values: Mapping[str, bool] = field(default_factory=dict)
    assumed: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the texts of some files say.

    Args:
        values: of ``Facts``; None where a function has no known form.
        unknown: those functions.
    """

    values: Mapping[str, bool] | None
    unknown: tuple[str, ...]


Assumption = tuple[Mapping[str, bool], str]
"""Values that are likely, and why, in words."""


class CodeReader(Protocol):
    """Reads facts from files of a tree."""

    @property
    def name(self) -> str:
        """Of the facts."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, from the tree's top."""

    def read(self, texts: Sequence[bytes]) -> Reading:
        """What the texts of the files say, in the order of ``paths``."""

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        """What is likely where they say nothing.

        Args:
            texts: of the files.
            freebsd_version: ``__FreeBSD_version``; 0 if it is not known.
        """


class NamedChange(Protocol):
    """A change of one file that has a name."""

    @property
    def path(self) -> PurePosixPath:
        """The file, from the tree's top."""

    def apply(self, text: bytes) -> bytes:
        """The file's text with the change in it.

        Raises:
            UsageError: it does not fit.
        """


def _no_change(name: str) -> NamedChange:
    raise LookupError(name)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All that is known of a tree's code.

    Args:
        readers: of its facts.
        change: the change of a name; raises UsageError if there is none.
    """

    readers: tuple[CodeReader, ...] = ()
    change: Callable[[str], NamedChange] = _no_change


NOTHING = Knowledge()
