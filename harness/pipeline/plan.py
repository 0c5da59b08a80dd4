"""How a guest is to be booted: a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.host.accelerator import Accelerator
from harness.image.media import BootMethod

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.outcome import Until
    from harness.pipeline.companion import Companion

#: How much longer everything takes without hardware help; a KASAN kernel that needs 2 s
#: under KVM was seen to need 13 to 20 s under TCG, and a busy host doubles that.
SLOWNESS = {Accelerator.KVM: 1.0, Accelerator.TCG: 4.0}


@dataclass(frozen=True, slots=True)
class BootPlan:
    """How a guest is booted.

    Args:
        topology: its nodes.
        until: how far it must come.
        tunables: kernel environment, by name (see loader.conf(5)).
        accelerator: kvm or tcg.
        method: what brings a FreeBSD kernel into memory; the built-in guest has but one way.
        timeout: seconds for the whole boot; None leaves it to the stages' limits.
        keep: leave the guest running after its verdict, stopped in the debugger if it panicked.
        companion: works with the guest once it has come up; its kernel gets the check module.
    """

    topology: Topology
    until: Until
    accelerator: Accelerator
    method: BootMethod = BootMethod.LOADER
    tunables: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    keep: bool = False
    companion: Companion | None = None
