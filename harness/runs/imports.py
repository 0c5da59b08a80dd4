"""Imports disk images that were made elsewhere as worlds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.firstboot import FirstBoot
from harness.errors import UsageError
from harness.guest.devices import GuestDisk
from harness.imported.convert import flattened, raw_disk
from harness.imported.given import given_image, is_url
from harness.imported.rootdisk import RootDisk, read_root
from harness.runs.guests import GuestRequest, Guests
from harness.runs.view import Unseen
from harness.source.revision import combined_hash
from harness.world.addition import make_addition
from harness.world.config import Services
from harness.world.fit import require_fitting
from harness.world.image import (
    DISK,
    HOST_KEY,
    IMPORTED,
    KEY,
    World,
    WorldCache,
    WorldIdentity,
    image_digest,
)

if TYPE_CHECKING:
    from harness.host.progress import Progress
    from harness.imported.firstlogin import WayIn
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """An image to import.

    Args:
        name: its file or URL.
        what: the kernel of its first boot; it gets what a world needs.
        sha256: the expected SHA-256 of the file; None if it is unknown.
        services: what starts with it.
        guest: the guest of its first boot.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
    """

    name: str
    what: KernelRequest
    sha256: str | None = None
    services: Services = Services.FEW
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None


@dataclass(frozen=True, slots=True)
class ImportedImage:
    """An image in the cache.

    Args:
        world: its world.
        way: how the harness got into it; None if it was imported before.
    """

    world: World
    way: WayIn | None


def import_image(request: ImportRequest, env: Environment, progress: Progress) -> ImportedImage:
    """Return an image as a world, from the cache or booted once.

    The image is read without a boot first: a file that is damaged, needs other files, or has
    another architecture or a newer release than the kernel never gets to a guest.

    Raises:
        UsageError: the image cannot be imported, or the request is invalid.
        BuildError: the kernel does not build.
        InfraError: the host failed.
    """
    with env.workspace.scratch("import") as scratch:
        progress.stage("read")
        image = given_image(request.name, request.sha256, scratch)
        cache = WorldCache(env.workspace)
        key = combined_hash((image.sha256, request.services, image_digest()))
        found = cache.find(key)
        if found is not None:
            return ImportedImage(found, None)
        disk = raw_disk(image.path, request.name, scratch, env.runner, sandboxed=env.sandboxed)
        root = read_root(disk, request.name)
        identity = _identity(request, key, image.sha256, root)
        return _first_boot(request, identity, disk, scratch, env, progress)


def _first_boot(
    request: ImportRequest, identity: WorldIdentity, disk: Path, scratch: Path, env: Environment,
    progress: Progress,
) -> ImportedImage:  # fmt: skip
    """Boot the image once, and store what it has become."""
    guests = Guests.of(env, Unseen(), request.guest, request.what)
    sanitizers = guests.sanitizers(request.sanitizers)
    plan = guests.plan(guests.topology(sanitizers, "image import"), sanitizers)
    what = replace(request.what, userland=True)
    kernel = env.kernels(progress.note).provide(what, sanitizers, progress)
    if not kernel.identity.is_freebsd:
        raise UsageError(
            "the built-in guest is not FreeBSD, and boots no image",
            remedy="name a FreeBSD tree: --source TREE",
        )
    require_fitting(kernel.identity.release, identity)
    addition = make_addition(scratch, request.services, env.workspace, env.runner)
    finished = scratch / DISK
    booter = guests.booter()
    first = FirstBoot(
        env.workspace, env.runner, env.clock, booter.backend, progress, booter.cancelled
    )
    way = first.prepare(
        "import", kernel, plan, GuestDisk(disk, read_only=True), identity.partition,
        addition.archive, lambda overlay: flattened(overlay.path, disk, finished, env.runner),
    )  # fmt: skip
    kept = {DISK: finished, HOST_KEY: addition.host_key, KEY: addition.key}
    return ImportedImage(WorldCache(env.workspace).store(identity, kept), way)


def _identity(request: ImportRequest, key: str, sha256: str, root: RootDisk) -> WorldIdentity:
    name = request.name
    return WorldIdentity(
        key=key,
        source=name if is_url(name) else str(Path(name).resolve()),
        label=name.rpartition("/")[2],
        commit=None,
        tree=sha256,
        dirty=False,
        overlaid=(),
        release=root.release,
        kind=IMPORTED,
        suites=(),
        services=request.services.value,
        compiler="",
        partition=root.partition,
    )
