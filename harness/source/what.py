"""A kernel as the user names it: a value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.kerneloptions import NO_OPTIONS, KernelOptions
from harness.source.change import Change

#: The mutant whose kernel is the one before the commit; the built-in guest has it as well.
BEFORE_MUTANT = "drop-commit"


@dataclass(frozen=True, slots=True)
class What:
    """A kernel as the user names it.

    Args:
        source: a tree, a git URL, or a source with a name.
        change: the revision and what is changed on top.
        kernconf: a configuration's name or file; None for the slim one.
        options: on top of the configuration.
        kernel: a kernel file that is there already; all else is then not looked at.
    """

    source: str
    change: Change = field(default_factory=Change)
    kernconf: str | None = None
    kernel: Path | None = None
    options: KernelOptions = NO_OPTIONS


def pair_of(what: What, before: Change | None, after: Change | None) -> tuple[What, What]:
    """The two sides of a comparison."""
    return replace(what, change=before or Change()), replace(what, change=after or Change())
