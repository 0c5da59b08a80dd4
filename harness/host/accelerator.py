"""QEMU's accelerators, and the state of the host that the choice between them depends on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST

if TYPE_CHECKING:
    from harness.host.process import Runner

KVM_DEVICE: Final = Path("/dev/kvm")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
MODULES: Final = Path("/sys/module")

_VERSION_SECONDS: Final = 60.0


class Accelerator(StrEnum):
    """The accelerators, by QEMU's names."""

    KVM = "kvm"
    TCG = "tcg"
    NONE = "none"
    """a machine that is not known to run in QEMU"""


def qemu_version(runner: Runner) -> str:
    """Return the version, such as ``7.2.22 (Debian 1:7.2+dfsg-7)``.

    Raises:
        InfraError: QEMU is not installed.
    """
    first = runner.run([GUEST.program, "--version"], deadline=_VERSION_SECONDS).text.partition(
        "\n"
    )[0]
    return first.removeprefix("QEMU emulator version ").strip()


def kvm_refusal(device: Path = KVM_DEVICE) -> str:
    """Return why KVM cannot be used; empty if it can be tried."""
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"you cannot use {device} (to change that: adduser $USER kvm)"
    if os.geteuid() == 0 and device.is_char_device():
        from harness.host.confinement import device_refusal

        return device_refusal(device)
    return ""


def acceleration_basis(device: Path = KVM_DEVICE, modules: Path = MODULES) -> list[object]:
    """Return a value that changes with the host's boot, QEMU, KVM's device and KVM's modules."""
    return [_boot_id(), _program_identity(), _device_identity(device), sorted(_modules(modules))]


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def _program_identity() -> list[object]:
    """Return the identity of QEMU's file; running QEMU for its version takes ten times longer."""
    found = shutil.which(GUEST.program)
    if found is None:
        return []
    status = Path(found).stat()
    return [found, status.st_ino, status.st_size, status.st_mtime_ns]


def _device_identity(device: Path) -> list[int]:
    """Return the identity of a device, including whether this user can access it."""
    try:
        found = device.stat()
    except OSError:
        return []
    usable = os.access(device, os.R_OK | os.W_OK)
    return [found.st_dev, found.st_ino, found.st_rdev, int(usable), found.st_mode, found.st_gid]


def _modules(directory: Path) -> Iterator[str]:
    """Generate KVM's modules with the version of their sources and their parameters.

    ``refcnt`` is left out, as it changes with running guests. Modules built into the kernel have no
    ``srcversion``; they change only with a boot.
    """
    for module in directory.glob("kvm*"):
        for file in (module / "srcversion", module / "version", *module.glob("parameters/*")):
            try:
                text = file.read_text("utf-8", "replace").strip()
            except OSError:  # missing, or readable for root only
                continue
            yield f"{file.relative_to(directory)}={text}"
        yield module.name
