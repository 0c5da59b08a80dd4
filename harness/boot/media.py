"""Creates a guest's boot media from a kernel artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.guest.memory import check_bootable
from harness.image.assemble import assemble_direct, assemble_freebsd
from harness.image.media import BootMethod, DirectKernel, Media
from harness.image.recipe import Payload, kernel_command_line

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.host.process import Runner
    from harness.host.workspace import Workspace
    from harness.kernel.artifact import KernelArtifact, KernelIdentity


#: Least MiB of a guest for 13.2 and 15.1 without a sanitizer. Measured failures: the loader's
#: staging area does not fit into 208; a kernel panics in 16, before its banner; with 2 the
#: built-in guest prints nothing. A sanitizer's needs depend on the layout
#: (``harness.guest.sanitizermemory``).
_LEAST_LOADER: Final = 224
_LEAST_DIRECT: Final = 24
_LEAST_EMBEDDED: Final = 4


def check_guest_memory(identity: KernelIdentity, asked: BootMethod, topology: Topology) -> None:
    """Refuse a guest with too little memory to boot any kernel.

    Raises:
        UsageError: it has less than the measured minimum.
    """
    if not identity.is_freebsd:
        least, way = _LEAST_EMBEDDED, "the built-in guest"
    elif asked is BootMethod.LOADER:
        least, way = _LEAST_LOADER, "a boot through UEFI and the loader"
    else:
        least, way = _LEAST_DIRECT, "a direct start"
    check_bootable(topology, least, way)


def method_of(identity: KernelIdentity, asked: BootMethod) -> BootMethod:
    """Return the boot method for a kernel; the built-in guest needs no loader."""
    return asked if identity.is_freebsd else BootMethod.DIRECT


def make_media(
    kernel: KernelArtifact, method: BootMethod, payload: Payload, scratch: Path,
    workspace: Workspace, runner: Runner,
) -> Media:  # fmt: skip
    """Create the media that boot ``kernel``; files are created in ``scratch``.

    Raises:
        UsageError: a tunable is invalid for the loader; there is no loader yet; the kernel does
            not support the direct start.
        InfraError: a program that creates the image is missing or failed.
    """
    if not kernel.identity.is_freebsd:
        append = kernel_command_line(payload.tunables, payload.nonce)
        return DirectKernel(kernel.kernel, append)
    if method is BootMethod.DIRECT:
        return assemble_direct(kernel.kernel, payload, scratch, workspace, runner)
    if kernel.loader is None:
        raise UsageError(
            f"no loader is cached to start {kernel.kernel}",
            remedy="start it directly (--boot direct), or build a tree once (harness build "
            "--source TREE), which caches its loader",
        )
    return assemble_freebsd(kernel.kernel, kernel.loader, payload, scratch, workspace, runner)
