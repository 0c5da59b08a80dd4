"""What ``harness image`` prints with ``--json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.world.image import World


def image_document(world: World) -> dict[str, Any]:
    """Return the JSON document of an image."""
    return {**world.identity.document(), "disk": str(world.disk)}
