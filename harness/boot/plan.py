"""Plan of one boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.debug.plan import NO_DEBUG, DebugPlan
from harness.guest.accelerator_choice import USUAL_SLOWNESS
from harness.image.media import BootMethod

if TYPE_CHECKING:
    from harness.boot.guestclient import GuestClient
    from harness.guest.topology import Topology
    from harness.host.accelerator import Accelerator
    from harness.outcome import Until
    from harness.world.image import World


class Sampling(StrEnum):
    """Purpose of a boot, which decides how a failure that does not repeat counts."""

    SINGLE = "single"
    """it decides alone: a failure that does not repeat is ``unverified``"""
    REPEATED = "repeated"
    """one of several (``--repeat``): it counts as seen once, but see ``repeats.one_way_only``"""
    TRIAL = "trial"
    """a test of a bisection, which judges the rate of failures; only early ones are repeated"""


@dataclass(frozen=True, slots=True)
class BootPlan:
    """How a guest is booted.

    Args:
        topology: its nodes.
        until: the stage that it must reach.
        tunables: kernel environment, by name (see loader.conf(5)).
        accelerator: kvm or tcg.
        slowness: factor by which limits are stretched; 1 is a fast KVM.
        method: boot method of a FreeBSD kernel; the built-in guest has only one.
        timeout: seconds for the whole boot, set by the user; None: only the stages' limits apply.
        longest: the same, set by the harness.
        keep: leave the guest running after its verdict, stopped in the debugger if it panicked.
        fail_on_report: whether a report after which the kernel continues fails the boot.
        debug: what is asked of the guest if it fails.
        world: FreeBSD's userland; None: the guest runs the harness's init alone.
        client: uses the guest after it is up; its kernel gets the client's check module.
        modules: modules of the kernel's tree that a guest with a world can load.
        snapshot: restore the guest from a ready snapshot, or save one once it is up.
    """

    topology: Topology
    until: Until
    accelerator: Accelerator
    slowness: float = USUAL_SLOWNESS
    method: BootMethod = BootMethod.LOADER
    tunables: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    longest: float | None = None
    keep: bool = False
    fail_on_report: bool = False
    debug: DebugPlan = NO_DEBUG
    world: World | None = None
    client: GuestClient | None = None
    snapshot: bool = False
    modules: tuple[str, ...] = ()

    @property
    def limit(self) -> float | None:
        """Seconds for the whole boot: the lower of both limits."""
        return min(
            (each for each in (self.timeout, self.longest) if each is not None), default=None
        )
