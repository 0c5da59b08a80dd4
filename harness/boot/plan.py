"""How a guest is to be booted: a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.guest.accelerator_choice import USUAL_SLOWNESS
from harness.image.media import BootMethod

if TYPE_CHECKING:
    from harness.boot.guestclient import GuestClient
    from harness.guest.topology import Topology
    from harness.host.accelerator import Accelerator
    from harness.outcome import Until


class Sampling(StrEnum):
    """What one boot is for, and so what becomes of a failure that does not repeat."""

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
        until: how far it must come.
        tunables: kernel environment, by name (see loader.conf(5)).
        accelerator: kvm or tcg.
        slowness: how much more time everything gets than under a fast KVM.
        method: what brings a FreeBSD kernel into memory; the built-in guest has but one way.
        timeout: seconds for the whole boot, set by the user; None leaves it to the stages' limits.
        longest: the same, set by the harness.
        keep: leave the guest running after its verdict, stopped in the debugger if it panicked.
        fail_on_report: a report after which the kernel goes on fails the boot.
        client: works with the guest once it has come up; its kernel gets the check module.
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
    client: GuestClient | None = None

    @property
    def limit(self) -> float | None:
        """Seconds for the whole boot, whoever has set them."""
        return min(
            (each for each in (self.timeout, self.longest) if each is not None), default=None
        )
