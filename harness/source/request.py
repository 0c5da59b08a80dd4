"""The kernel that the user asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.kerneloptions import NO_OPTIONS, KernelOptions
from harness.source.change import Change

#: The mutant that reverts the fix that the built-in guest has, too.
BEFORE_MUTANT = "drop-commit"


@dataclass(frozen=True, slots=True)
class KernelRequest:
    """The kernel that the user asks for.

    Args:
        source: a tree, a git URL, or the name of a source.
        change: the revision, and what is applied to it.
        kernconf: name or file of a kernel configuration; None: the slim one.
        options: options that are added to or removed from the configuration.
        kernel: an existing kernel file; the other fields are then ignored.
        userland: whether it is to run a world.
        modules: modules of the tree that the guest can load, as directories below sys/modules.
    """

    source: str
    change: Change = field(default_factory=Change)
    kernconf: str | None = None
    kernel: Path | None = None
    options: KernelOptions = NO_OPTIONS
    userland: bool = False
    modules: tuple[str, ...] = ()


def pair_of(
    what: KernelRequest, before: Change | None, after: Change | None
) -> tuple[KernelRequest, KernelRequest]:
    """Return the two sides of a comparison."""
    return replace(what, change=before or Change()), replace(what, change=after or Change())
