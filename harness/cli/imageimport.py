"""``harness image import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.imageoutput import image_document
from harness.cli.options import (
    change_options,
    common_options,
    guest_options,
    guest_request,
    kernel_option,
    named_kernel,
    source_options,
)
from harness.cli.progress import LiveRows
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.runs.imports import ImportRequest, import_image
from harness.runs.view import shown_row
from harness.source.change import Change
from harness.world.config import Services

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command("import")
@click.argument("name", metavar="FILE|URL")
@click.option("--sha256", metavar="HEX", help="Refuse a file with another SHA-256.")
@click.option("--services", type=click.Choice([each.value for each in Services]),
              default=Services.FEW.value, show_default=True,
              help="What starts with a guest: little but sshd, or what the image has.")  # fmt: skip
@source_options
@change_options
@kernel_option
@sanitizer_options
@guest_options
@common_options
def image_import(
    app: App, name: str, sha256: str | None, services: str, source: str | None,
    kernconf: str | None, kernel: Path | None, asked: AskedSanitizers, **options: Any,
) -> int:  # fmt: skip
    """Import an image of FreeBSD that was made elsewhere, raw or qcow2, or either compressed by xz.

    A guest boots it once with the kernel that the options name, to add the harness's files: the
    image must let root log in at the serial console without a password, or run nuageinit(7). The
    file itself stays as it is. Images serve kernels of their release and of later ones.

    \b
    Examples:
      harness image import ~/FreeBSD-15.1-ufs.qcow2.xz --sha256 4f2a…
      harness image import disk.raw --services all
      harness exec --world 4f2a91c -- uname -a
    """
    change = Change(options.pop("revision"), options.pop("patch"), options.pop("mutant"))
    request = ImportRequest(
        name,
        named_kernel(app, source, kernconf, change, kernel, options.pop("kernel_options")),
        sha256,
        Services(services),
        guest_request(options, None),
        asked.of_kernel(),
    )
    with LiveRows(app.messages, app.clock, verbose=app.verbosity > 0) as rows:
        with shown_row(rows, "import") as progress:
            imported = import_image(request, app, progress)
        rows.done("import", f"by {imported.way}" if imported.way else "known", good=True)
    world = imported.world
    app.paper.print(f"{world.identity.key[:12]} {world.identity.release}", markup=False)
    app.emit(image_document(world))
    return 0
