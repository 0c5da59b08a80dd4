"""The machine and the kernel that a boot's report must match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.boot.panicstop import PanicStop
    from harness.guest.backend import Guest
    from harness.guest.spec import GuestSpec
    from harness.kernel.artifact import KernelArtifact
    from harness.verification import Evidence


@dataclass(slots=True)
class Inspection:
    """Inspects the machine before the guest runs; ``differences`` are from ``spec``."""

    spec: GuestSpec
    stop: PanicStop | None
    differences: tuple[str, ...] = ()

    def __call__(self, guest: Guest) -> None:
        """See ``Inspect`` of ``harness.guest.backend``."""
        self.differences = guest.machine_differences(self.spec)
        if self.stop is not None:
            self.stop.arm(guest.monitor)


def evidence_of(
    kernel: KernelArtifact, nonce: str, inspection: Inspection, unproven: tuple[str, ...]
) -> Evidence:
    """Return the facts that the boot's report must match.

    Args:
        kernel: the kernel file.
        nonce: the boot's.
        inspection: the inspection of its machine.
        unproven: properties of the machine that nothing proves.
    """
    from harness.kernel.elf import kernel_facts
    from harness.subsystems.table import report_readers
    from harness.verification import Evidence

    facts = kernel_facts(kernel.kernel)
    return Evidence(
        nonce, facts, inspection.spec.topology, inspection.differences, unproven, report_readers()
    )
