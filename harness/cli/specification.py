"""``--spec`` and ``--subsystem``: what a kernel is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.errors import UsageError
from harness.subsystems.specifications import AUTO, Specifications
from harness.subsystems.table import SUBSYSTEMS, find_subsystem

if TYPE_CHECKING:
    from harness.cli.app import App
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


def chosen_subsystems(name: str | None, spec: str, *, embedded: bool) -> tuple[Subsystem, ...]:
    """What is checked: the one named, or all that the check module and the specification know.

    Args:
        name: ``--subsystem``.
        spec: ``--spec``.
        embedded: the kernel is the built-in guest's.

    Raises:
        UsageError: the built-in guest does not have the one named.
    """
    if name is not None:
        subsystem = find_subsystem(name)
        if embedded and not subsystem.in_built_in:
            raise UsageError(
                f"the built-in guest has no subsystem {name}",
                remedy="name a FreeBSD tree with --source, or leave --subsystem out",
            )
        return (subsystem,)
    known = [each for each in SUBSYSTEMS if each.in_built_in or not embedded]
    if spec in _VARIANTS:
        known = [each for each in known if spec in each.variant_names]
    return tuple(known)


def specifications(app: App, subsystem: Subsystem) -> Specifications:
    """Finds what kernels are held to."""
    return Specifications(
        subsystem,
        app.open_tree,
        app.workspace,
        lambda holder: app.talk.say(f"waiting for {holder}"),
    )
