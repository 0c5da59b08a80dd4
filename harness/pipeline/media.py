"""From a kernel artifact to what a guest boots from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.image.assemble import assemble_direct, assemble_freebsd
from harness.image.media import BootMethod, DirectKernel, Media
from harness.image.recipe import kernel_command_line

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.workspace import Workspace
    from harness.kernel.artifact import KernelArtifact, KernelIdentity


def method_of(identity: KernelIdentity, asked: BootMethod) -> BootMethod:
    """What brings that kernel into memory: the built-in guest's needs no loader."""
    return asked if identity.is_freebsd else BootMethod.DIRECT


def make_media(
    kernel: KernelArtifact,
    method: BootMethod,
    tunables: Mapping[str, str],
    scratch: Path,
    workspace: Workspace,
    runner: Runner,
    *,
    nonce: str,
    module: bool = False,
) -> Media:
    """What a guest boots ``kernel`` from, laid out in ``scratch`` if it needs files.

    ``nonce`` tells this boot's report from all others. With ``module`` the kernel's check module
    is loaded, if it has one of its own.

    Raises:
        UsageError: a tunable that a loader cannot be given; there is no loader yet; the kernel
            cannot be started directly.
        InfraError: a program that makes the image is missing or failed.
    """
    if not kernel.identity.is_freebsd:
        return DirectKernel(kernel.kernel, kernel_command_line(tunables, nonce))
    own_module = kernel.module if module else None
    if method is BootMethod.DIRECT:
        return assemble_direct(
            kernel.kernel, tunables, scratch, workspace, runner, own_module, nonce
        )
    if kernel.loader is None:
        raise UsageError(
            f"there is no loader yet that could start {kernel.kernel}",
            remedy="start it directly (--boot direct), or build any tree once (harness build "
            "--source TREE): its loader is kept",
        )
    return assemble_freebsd(
        kernel.kernel, kernel.loader, tunables, scratch, workspace, runner, own_module, nonce
    )
