"""``--spec`` and ``--subsystem``: the specification of a check."""

from __future__ import annotations

import click

from harness.subsystems.specifications import AUTO
from harness.subsystems.table import SUBSYSTEMS

_VARIANTS = tuple(dict.fromkeys(name for each in SUBSYSTEMS for name in each.variant_names))

spec_option = click.option(
    "--spec", default=AUTO, show_default=True, metavar="auto|as-built|NAME|REV",
    help="Specification: the form of the kernel's baseline, with the fix (auto); the kernel's own "
    f"form (as-built); {', '.join(_VARIANTS)}; or the form of a revision.",
)  # fmt: skip

subsystem_option = click.option(
    "--subsystem", type=click.Choice([each.name for each in SUBSYSTEMS]),
    help="The subsystem to check.  [default: all that fit, each in its own guest]",
)  # fmt: skip
