"""The mutants by name.

Each is named after its function and after what is done to it. Those called ``drop-…`` take out the
commit that ``keg_fetch_slab`` got for ``M_USE_RESERVE``, or half of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.source.mutants_domainset import DOMAINSET_MUTANTS
from harness.source.mutants_uma_core import UMA_CORE_MUTANTS

if TYPE_CHECKING:
    from harness.source.mutant import Mutant

MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {mutant.name: mutant for mutant in (*UMA_CORE_MUTANTS, *DOMAINSET_MUTANTS)}
)


def find_mutant(name: str) -> Mutant:
    """The mutant of this name.

    Raises:
        UsageError: there is none; the remedy names the closest, or how to list all.
    """
    if name in MUTANTS:
        return MUTANTS[name]
    close = difflib.get_close_matches(name, MUTANTS, n=1)
    remedy = f"Did you mean {close[0]}?" if close else "harness mutants --list names all."
    raise UsageError(f"There is no mutant {name}.", remedy=remedy)
