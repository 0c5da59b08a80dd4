"""Worlds for guests: those that are built already, or new ones of a tree."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.cellplan import CellPlan, kind_of
from harness.errors import UsageError
from harness.outcome import Outcome, Until
from harness.source.change import Change
from harness.source.request import KernelRequest
from harness.world.config import (
    WorldConfig,
    WorldKind,
    covers,
    suite_candidates,
    world_config,
)
from harness.world.fit import number, serving
from harness.world.image import WorldCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.host.progress import Progress
    from harness.runs.environment import Environment
    from harness.runs.guests import GuestRequest, Guests
    from harness.sanitizers import Sanitizers
    from harness.world.image import World


@dataclass(frozen=True, slots=True)
class WorldRequest:
    """A world to build.

    Args:
        source: the tree.
        revision: its revision; None: as it stands.
        config: what the world contains.
        overlay: a directory of files that are laid over the tree; None: that of the settings.
    """

    source: str
    revision: str | None = None
    config: WorldConfig = field(default_factory=WorldConfig)
    overlay: Path | None = None


def build_world(request: WorldRequest, env: Environment, progress: Progress) -> World:
    """Return the world, from the cache or built.

    Raises:
        UsageError: the request is invalid, or the tree lacks files.
        BuildError: the revision does not build.
        InfraError: the host failed.
    """
    from harness.source.treelocks import healed
    from harness.world.build import WorldBuilder

    what = KernelRequest(request.source)
    tree = env.kernels().provider(what).world_tree(what)
    builder = WorldBuilder(env.workspace, env.runner, progress, env.sandboxed, env.logs)
    overlay = request.overlay or env.settings.image.overlay
    change = Change(request.revision)
    build = partial(builder.build, tree, change, request.config, overlay)
    return healed(tree, env.workspace, progress.note, build)


def world_for(
    what: KernelRequest,
    name: str | None,
    env: Environment,
    progress: Progress,
    suites: Sequence[str] = (),
) -> World:
    """Return the world for guests of a kernel.

    One world serves all kernels of a release, so that of another revision of the tree is taken if
    there is one, or one that contains more; else that of the kernel's own revision is built.

    Args:
        what: the kernel.
        name: a kind of world, or the start of a key in the cache; None: ``slim``.
        env: the host.
        progress: shows the stages of a build.
        suites: directories of the tree's suites that the world must have, unless a key names it.

    Raises as ``build_world``.
    """
    cache = WorldCache(env.workspace)
    kinds = {kind.value for kind in WorldKind}
    if name is not None and name not in kinds:
        named = (each.key for each in cache.identities() if each.key.startswith(name))
        world = next((found for key in named if (found := cache.find(key))), None)
        if world is None:
            raise UsageError(
                f"--world: there is no world {name!r}",
                remedy="list them: harness image ls; or name a kind: slim or tests",
            )
        return world
    kind = WorldKind(name or WorldKind.SLIM.value)
    progress.stage("world")
    release = _release_of(what, env)
    fitting = serving(cache.identities(), what.source, release, kind)
    for identity in fitting:
        has_all = all(covers(identity.suites, suite) for suite in suites)
        if has_all and (world := cache.find(identity.key)):
            return world
    # What others have it gets, too, so that one world has all that was ever asked for.
    others = {suite for identity in fitting for suite in identity.suites}
    wanted = {*world_config(kind).suites, *others, *suites} if suites else ()
    request = WorldRequest(what.source, what.change.revision, world_config(kind, tuple(wanted)))
    return build_world(request, env, progress)


def suite_directories(
    what: KernelRequest, names: Sequence[str], env: Environment
) -> dict[str, str | None]:
    """Return the directory of the kernel's tree that installs each suite; None if it has none.

    Args:
        what: the kernel.
        names: the suites, as directories below /usr/tests.
        env: the host.
    """
    from harness.host.workspace import note_holder
    from harness.source.treelocks import being_read

    tree = env.kernels().provider(what).world_tree(what)
    base, overlay = Change(what.change.revision), env.settings.image.overlay

    def is_suite(path: str) -> bool:
        makefile = f"{path}/Makefile"
        laid = overlay is not None and (overlay / makefile).is_file()
        return laid or tree.has_file(base, makefile)

    with being_read(tree, env.workspace, note_holder(lambda _: None, "")):
        return {name: next(filter(is_suite, suite_candidates(name)), None) for name in names}


def userland_cell(
    guests: Guests, what: KernelRequest, sanitizers: Sanitizers | None, kind: str
) -> CellPlan:
    """Return the plan of one guest with a world, which is expected to come up.

    Args:
        guests: the guests of a request that has a world.
        what: the kernel; it gets what a world needs.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
        kind: the command.

    Raises:
        UsageError: the request names several guests, or invalid numbers.
    """
    chosen = guests.sanitizers(sanitizers)
    topology = guests.topology(chosen, kind)
    boot = guests.plan(topology, chosen, restored=True)
    return CellPlan(
        name=f"{kind_of(chosen, what)}-numa{len(topology.nodes)}",
        side="",
        what=guests.with_userland(what),
        sanitizers=chosen,
        boot=replace(boot, modules=what.modules),
        expected=(Outcome.BOOTED,),
        world=guests.world,
    )


def with_world(guest: GuestRequest, kind: WorldKind) -> GuestRequest:
    """Return a request whose guests have a world, of that kind unless it names another."""
    return replace(guest, until=Until.SSH, world=guest.world or kind.value)


def _release_of(what: KernelRequest, env: Environment) -> tuple[int, int]:
    """Return the numbers of the release of the tree that a kernel is built from."""
    from harness.host.workspace import note_holder
    from harness.source.treelocks import being_read

    tree = env.kernels().provider(what).world_tree(what)
    with being_read(tree, env.workspace, note_holder(lambda _: None, "")):
        return number(str(tree.base(what.change).release))
