"""``--spec`` and ``--subsystem``: what a kernel is held to."""

from __future__ import annotations

import click

from harness.subsystems.specifications import AUTO
from harness.subsystems.table import SUBSYSTEMS

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
