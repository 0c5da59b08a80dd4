"""Which guests start from ready snapshots, for all boots: most need nothing else of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from harness.host.accelerator import Accelerator
from harness.host.sharedmemory import can_share_memory

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.guest.backend import Backend

RENEW_TUNABLES: Final[Mapping[str, str]] = {"harness.renew": "1"}
"""Kernel environment of a guest that can be saved: it obeys ``images/shell/renew.c``."""

MOST_SNAPSHOTS: Final = 8 << 30
"""Bytes of all snapshots that the cache keeps; one of a 3 GiB guest takes 150 MB."""


class NotRestoredError(Exception):
    """A guest could not be restored; it says nothing about the kernel."""


def is_restorable(plan: BootPlan, backend: Backend, *, attended: bool) -> bool:
    """Return whether the guest of a plan is restored, or saved for later ones.

    Not under KVM, where it was never tried, and not if a user or a debugger looks at the boot.
    """
    return (
        plan.snapshot
        and backend.saves_state
        and plan.accelerator is Accelerator.TCG
        and not (attended or plan.debug.at_panic)
        and can_share_memory()
    )
