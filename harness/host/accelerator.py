"""What runs the guest's instructions."""

from __future__ import annotations

from enum import StrEnum


class Accelerator(StrEnum):
    """QEMU's name of the accelerator."""

    KVM = "kvm"
    TCG = "tcg"
