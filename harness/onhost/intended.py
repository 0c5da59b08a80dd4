"""Races that are intended: accesses without a lock that the code is right to make."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.onhost.ending import Access, HostEnding


@dataclass(frozen=True, slots=True)
class IntendedRaces:
    """Accesses that nothing needs to order, by function and the digest of their line.

    A race with one of them is none, whatever the other access is: what is read without a lock may
    be changed meanwhile, and another race tells whether it is changed without one.

    Args:
        listed: functions and digests.
    """

    listed: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, files: Iterable[Path]) -> IntendedRaces:
        """Read lists of objects with ``function``, ``digest`` and the reason, ``why``."""
        found = (each for file in files for each in json.loads(file.read_text()))
        return cls(frozenset((str(each["function"]), str(each["digest"])) for each in found))

    def of_ending(self, ending: HostEnding) -> tuple[Access, ...]:
        """Return the accesses of a race that are intended; empty for what is a finding."""
        return tuple(each for each in ending.race if (each.function, each.digest) in self.listed)
