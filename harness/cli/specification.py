"""``--spec`` and ``--subsystem``: what a kernel is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.errors import UsageError
from harness.subsystems.specifications import AUTO
from harness.subsystems.table import SUBSYSTEMS, find_subsystem

if TYPE_CHECKING:
    from harness.provide.provider import Provider
    from harness.subsystems.subsystem import Subsystem

_VARIANTS = tuple(dict.fromkeys(name for each in SUBSYSTEMS for name in each.variant_names))

spec_option = click.option(
    "--spec", default=AUTO, show_default=True, metavar="auto|as-built|NAME|REV",
    help="Hold the kernel to: the form of the code below its changes, with the commit (auto); its "
    f"own form (as-built); {', '.join(_VARIANTS)}; or the form of a revision.",
)  # fmt: skip

subsystem_option = click.option(
    "--subsystem", type=click.Choice([each.name for each in SUBSYSTEMS]),
    help="The part of the kernel that is checked.  [default: all that fit, each in its own guest]",
)  # fmt: skip


def chosen_subsystems(name: str | None, spec: str, provider: Provider) -> tuple[Subsystem, ...]:
    """What is checked: the one named, or all that the check module and the specification know.

    Args:
        name: ``--subsystem``.
        spec: ``--spec``.
        provider: of the kernel.

    Raises:
        UsageError: the kernel does not have the one named.
    """
    if name is not None:
        subsystem = find_subsystem(name)
        if subsystem not in provider.subsystems:
            raise UsageError(
                f"the built-in guest has no subsystem {name}",
                remedy="name a FreeBSD tree with --source, or leave --subsystem out",
            )
        return (subsystem,)
    known = provider.subsystems
    if spec in _VARIANTS:
        known = tuple(each for each in known if spec in each.variant_names)
    return known
