"""From a kernel artifact to what a guest boots from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.image.assemble import assemble_freebsd
from harness.image.media import DirectKernel, Media
from harness.image.recipe import kernel_command_line

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.workspace import Workspace
    from harness.kernel.artifact import KernelArtifact


def make_media(
    kernel: KernelArtifact,
    tunables: Mapping[str, str],
    scratch: Path,
    workspace: Workspace,
    runner: Runner,
    *,
    module: bool = False,
) -> Media:
    """What a guest boots ``kernel`` from, laid out in ``scratch`` if it needs files.

    With ``module`` the kernel's check module is loaded, if it has one of its own.

    Raises:
        UsageError: a tunable that a loader cannot be given.
        InfraError: a program that makes the image is missing or failed.
    """
    if kernel.loader is None:
        return DirectKernel(kernel.kernel, kernel_command_line(tunables))
    return assemble_freebsd(
        kernel.kernel, kernel.loader, tunables, scratch, workspace, runner,
        kernel.module if module else None,
    )  # fmt: skip
