"""Whether a kernel can run a world. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.world.image import WorldIdentity

_NUMBERS = re.compile(r"(\d+)\.(\d+)", re.ASCII)


def require_fitting(kernel: str, world: WorldIdentity) -> None:
    """Refuse a kernel of an older release than the world, whose programs need newer system calls.

    Kernels of one release are not told apart: a bisection tests all of them with one world.

    Args:
        kernel: the kernel's release.
        world: the world.

    Raises:
        UsageError: the kernel is older.
    """
    if number(kernel) < number(world.release):
        raise UsageError(
            f"a kernel of {kernel} cannot run the world {world.key[:12]}, which is of "
            f"{world.release}",
            remedy="name a world of that release or an older one: --world NAME; "
            "harness image ls lists them",
        )


def number(release: str) -> tuple[int, int]:
    """Return the numbers of a release: 15 and 1 for 15.1-RELEASE-p1; zeros for anything else."""
    found = _NUMBERS.match(release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
