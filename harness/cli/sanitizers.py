"""Sanitizer options of all commands that build kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from harness.cli.completion import complete_sanitizers
from harness.sanitizers import TABLE, Sanitizer, Sanitizers, parse_sanitizers, united

F = TypeVar("F", bound=Callable[..., Any])


report_option = click.option(
    "--fail-on-report", is_flag=True,
    help=f"Fail on reports of {', '.join(row.option for row in TABLE if not row.outcome)}, "
    "after which the kernel continues.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AskedSanitizers:
    """The sanitizers that the options name.

    Args:
        flags: sanitizers with a flag of their own, such as ``--kasan``.
        sets: the values of ``--sanitizer``.
    """

    flags: tuple[Sanitizer, ...]
    sets: tuple[str, ...]

    def of_kernel(self) -> Sanitizers | None:
        """Return the sanitizers of one kernel; None if no option names any.

        Raises:
            UsageError: an unknown name, or two that exclude each other.
        """
        if not (self.flags or self.sets):
            return None
        return united(self.flags, *map(parse_sanitizers, self.sets))

    def columns(self) -> tuple[Sanitizers, ...]:
        """Return the sanitizers of each column of a comparison.

        Each ``--sanitizer`` is a column, and so is each flag of a sanitizer that excludes others.
        The other flags join all columns of flags.

        Raises:
            UsageError: an unknown name, or two that exclude each other.
        """
        joining = [row for row in self.flags if not row.alone]
        alone = [row for row in self.flags if row.alone]
        named = [united([row], joining) for row in alone] or ([united(joining)] if joining else [])
        named += map(parse_sanitizers, self.sets)
        return tuple(dict.fromkeys(named))


def sanitizer_options(command: F) -> F:
    """Add ``--sanitizer`` and a flag for each row of the table; the argument is ``asked``."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        flags = tuple(row for row in TABLE if options.pop(row.name))
        asked = AskedSanitizers(flags, options.pop("sanitizer"))
        return command(*args, asked=asked, **options)

    option = click.option(
        "--sanitizer", multiple=True, metavar="NAME,…", shell_complete=complete_sanitizers,
        help=f"Build with these sanitizers: {', '.join(row.name for row in TABLE)}.",
    )  # fmt: skip
    decorated = option(wrapped)
    for row in reversed(TABLE):
        flag = click.option(
            f"--{row.name}", is_flag=True, help=f"Build with the {row.description}."
        )
        decorated = flag(decorated)
    return decorated  # type: ignore[return-value]
