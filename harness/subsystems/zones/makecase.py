"""Constructors of the named cases of zones."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness.cases import NamedCase, Shown
from harness.cedit.edits import Replace
from harness.cedit.masks import read_masked
from harness.mutation.mutant import InFunction, Mutant
from harness.outcome import Outcome

_UMA_CORE: Final = "sys/vm/uma_core.c"


def change(function: str, name: str, description: str, old: str, new: str) -> Mutant:
    """A mutant that replaces an expression of a function."""
    made = InFunction(_UMA_CORE, function)(name, description, Replace(old, new))
    return replace(made, read=read_masked)


def fix(function: str, old: str, new: str) -> Mutant:
    """The fix of a case: an expression of a function is replaced."""
    return change(function, "fix", "a fix of a named case", old, new)


def case(
    name: str, story: str, functions: str, nodes: int, titles: str, fix: Mutant | None = None,
    **more: str,
) -> NamedCase:  # fmt: skip
    """A case of zones, which a trace shows.

    Args:
        name: see ``NamedCase``, also for the following two.
        story, titles, fix: see ``name``.
        functions: separated by blanks.
        nodes: number of nodes, unless ``vm`` is given.
        more: ``trace``, and maybe ``traces``, ``vm``, ``introduced``, and ``release``, the
            beginning of the only release that has it.
    """
    vm = more.get("vm", "")
    release = more.get("release", "")
    machine = ("--vm", vm) if vm else ("--numa", str(nodes))
    return NamedCase(
        name=name,
        story=story,
        introduced=more.get("introduced", ""),
        fixed="",
        functions=tuple(functions.split()),
        command=("check", *machine, "--on", "host", "--case", name),
        shown=(Shown(release, Outcome.BOOTED, agrees=False),) if release else (),
        trace=more["trace"],
        titles=titles,
        traces=more.get("traces", ""),
        vm=vm,
        fix=fix,
    )
