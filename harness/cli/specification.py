"""``--spec``: what a kernel is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.subsystems.uma.model.specification import AUTO
from harness.subsystems.uma.model.variants import RELEASES, VARIANTS
from harness.subsystems.uma.specifications import Specifications

if TYPE_CHECKING:
    from harness.cli.app import App

spec_option = click.option(
    "--spec", default=AUTO, show_default=True, metavar="auto|as-built|NAME|REV",
    help="Hold the kernel to: the form of the code below its changes, with the commit (auto); its "
    f"own form (as-built); {', '.join((*VARIANTS, *RELEASES))}; or the form of a revision.",
)  # fmt: skip


def specifications(app: App) -> Specifications:
    """Finds what kernels are held to."""
    return Specifications(
        app.open_tree,
        app.workspace,
        lambda holder: app.talk.say(f"waiting for {holder}"),
    )
