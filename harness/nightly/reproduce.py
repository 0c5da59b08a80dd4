"""The command that reproduces a result of a night. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.nightly.failures import BUILD

if TYPE_CHECKING:
    from harness.nightly.cells import NightCell
    from harness.nightly.result import Result

_EMBEDDED = "embedded"
_NO_SANITIZER = "none"


def command_of(
    cell: NightCell, result: Result, source: str, kernconf: str | None = None
) -> tuple[str, ...]:
    """Return the arguments of the command that repeats a result, with ``harness`` as the first.

    Args:
        cell: the plan's cell.
        result: its result.
        source: the branch's tree, as ``--source`` names it.
        kernconf: the tree's kernel configuration in the plan; None for the default.
    """
    what = [*_kernel(cell, result, source, kernconf)]
    if result.kind == BUILD:
        return "harness", "build", *what
    if cell.kind == "check":
        return "harness", "check", *what, *_guest(cell), *_check(cell, result)
    if cell.kind == "command":
        world = [] if cell.world == "slim" else ["--world", cell.world]
        return "harness", "exec", *what, *_guest(cell), *world, "--", "sh", "-c", cell.command
    booted = [*_guest(cell), "--boot", result.method or cell.method or "direct"]
    until = [] if cell.until == "init" else ["--until", cell.until]
    report = ["--fail-on-report"] if cell.fail_on_report else []
    return "harness", "boot", *what, *booted, *until, *report


def _kernel(
    cell: NightCell, result: Result, source: str, kernconf: str | None
) -> Iterator[str]:  # fmt: skip
    yield from ("--source", source)
    if source != _EMBEDDED:
        yield from ("--rev", result.commit)
    if kernconf is not None:
        yield from ("--kernconf", kernconf)
    if cell.sanitizers.lower() != _NO_SANITIZER:
        yield from ("--sanitizer", cell.sanitizers.lower().replace("+", ","))
    for option in cell.options:
        yield from ("--option", option)
    if cell.mutant:
        yield from ("--mutant", cell.mutant)


def _guest(cell: NightCell) -> Iterator[str]:
    yield from ("--numa", cell.numa) if cell.numa is not None else ("--vm", cell.vm or "")
    if cell.accelerator is not None:
        yield from ("--accelerator", cell.accelerator)
    if cell.timeout is not None:
        yield from ("--timeout", f"{cell.timeout:g}")
    for name, value in cell.tunables.items():
        yield from ("--tunable", f"{name}={value}")


def _check(cell: NightCell, result: Result) -> Iterator[str]:
    yield from ("--subsystem", cell.subsystem, "--ops", str(cell.operations))
    if result.seed is not None:
        yield from ("--seed", str(result.seed))
