"""Which worlds a kernel can run, and which serve a request. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.world.config import WorldKind
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


def serving(
    worlds: Iterable[WorldIdentity], source: str, release: tuple[int, int], kind: WorldKind
) -> list[WorldIdentity]:
    """Return the worlds of a tree's release that contain what ``kind`` does, the smallest first."""
    alike = [each for each in worlds if (each.source, number(each.release)) == (source, release)]
    kinds = [serving.value for serving in kind.served_by]
    return sorted((w for w in alike if w.kind in kinds), key=lambda world: kinds.index(world.kind))


def number(release: str) -> tuple[int, int]:
    """Return the numbers of a release: 15 and 1 for 15.1-RELEASE-p1; zeros for anything else."""
    found = _NUMBERS.match(release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
