"""What runs the guest's instructions, proven by running a guest with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.host.workspace import Workspace, write_atomic

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.host.process import Runner

QEMU: Final = "qemu-system-x86_64"

KVM_DEVICE: Final = Path("/dev/kvm")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

PROOF_VALUE: Final = 0x2A
"""What the proving guest writes; any other exit status is not its doing."""

_DEBUG_EXIT_PORT: Final = 0xF4
_TCG_SECONDS: Final = 60.0
_KVM_LEAST_SECONDS: Final = 3.0
_KVM_FACTOR: Final = 10.0
_POLL_SECONDS: Final = 0.02


class Accelerator(StrEnum):
    """QEMU's name of the accelerator."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class AcceleratorProof:
    """Which accelerator runs guests on this host.

    Args:
        accelerator: the best that ran one.
        reason: why this one, as a sentence without a full stop.
        qemu: QEMU's version.
        proven_at: when the guest ran, in UTC.
    """

    accelerator: Accelerator
    reason: str
    qemu: str
    proven_at: datetime


@dataclass(frozen=True, slots=True)
class _Trial:
    """How the proving guest fared under one accelerator; ``failure`` is empty if it ran."""

    failure: str
    seconds: float


def prove_accelerator(
    workspace: Workspace,
    runner: Runner,
    clock: Clock,
    *,
    refresh: bool = False,
    device: Path = KVM_DEVICE,
) -> AcceleratorProof:
    """Run a tiny guest under KVM, and under TCG; the answer is kept until the host restarts.

    That ``/dev/kvm`` is there and opens says little: a guest within a guest may be able
    to open it and hang.  So the same guest runs under TCG first, which tells how long it
    takes on this host at this load, and KVM gets a multiple of that.

    Args:
        workspace: where the answer is kept.
        runner: starts QEMU.
        clock: measures how long the guests take.
        refresh: ask again even if the answer is known.
        device: of KVM.

    Raises:
        InfraError: QEMU is missing, or runs a guest under neither.
    """
    kept = workspace.cache / "accelerator.json"
    basis: list[object] = [_boot_id(), *_program_identity(), *_device_identity(device)]
    with workspace.lock("accelerator"):
        if not refresh and (known := _read(kept, basis)):
            return known
        proof = _prove(workspace, runner, clock, device, qemu_version(runner))
        write_atomic(kept, json.dumps({"basis": basis, **asdict(proof)}, default=str) + "\n")
        return proof


def qemu_version(runner: Runner) -> str:
    """Such as ``7.2.22 (Debian 1:7.2+dfsg-7)``.

    Raises:
        InfraError: QEMU is missing.
    """
    first = runner.run([QEMU, "--version"], deadline=_TCG_SECONDS).text.partition("\n")[0]
    return first.removeprefix("QEMU emulator version ").strip()


def boot_sector(value: int = PROOF_VALUE) -> bytes:
    """512 bytes that the firmware starts, and that write ``value`` to QEMU's exit device."""
    code = bytes(
        (
            0xB0, value,             # mov $value, %al
            0xE6, _DEBUG_EXIT_PORT,  # out %al, $port
            0xF4,                    # hlt
            0xEB, 0xFD,              # jmp .-1
        )
    )  # fmt: skip
    return code.ljust(510, b"\0") + b"\x55\xaa"


def trial_argv(accelerator: Accelerator, disk: Path) -> list[str | Path]:
    """QEMU's command line for the proving guest."""
    return [
        QEMU, "-accel", accelerator, "-machine", "pc", "-m", "16M",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-drive", f"if=floppy,format=raw,readonly=on,file={str(disk).replace(',', ',,')}",
        "-device", f"isa-debug-exit,iobase={_DEBUG_EXIT_PORT:#x},iosize=1",
    ]  # fmt: skip


def exit_status(value: int = PROOF_VALUE) -> int:
    """QEMU's exit status when the guest writes ``value`` (``hw/misc/debugexit.c``)."""
    return value << 1 | 1


def _prove(
    workspace: Workspace, runner: Runner, clock: Clock, device: Path, qemu: str
) -> AcceleratorProof:
    with workspace.scratch("accelerator") as folder:
        disk = folder / "boot.img"
        disk.write_bytes(boot_sector())
        tcg = _try(Accelerator.TCG, disk, _TCG_SECONDS, runner, clock)
        limit = max(_KVM_LEAST_SECONDS, _KVM_FACTOR * tcg.seconds)
        refusal = _refusal(device)
        kvm = _Trial(refusal, 0.0) if refusal else _try(
            Accelerator.KVM, disk, limit, runner, clock
        )  # fmt: skip
    if not kvm.failure:
        return AcceleratorProof(Accelerator.KVM, "a guest ran under KVM", qemu, clock.now())
    if not tcg.failure:
        return AcceleratorProof(Accelerator.TCG, kvm.failure, qemu, clock.now())
    raise InfraError(
        f"QEMU {qemu} runs no guest on this host",
        remedy="see what it says below; reinstalling it may help: "
        "apt-get install --reinstall qemu-system-x86 seabios",
        detail=f"kvm: {kvm.failure}\ntcg: {tcg.failure}",
    )


def _try(
    accelerator: Accelerator, disk: Path, limit: float, runner: Runner, clock: Clock
) -> _Trial:
    """Run the guest until it ends, QEMU gives up, or ``limit`` seconds are over."""
    words = disk.with_name(f"{accelerator}.stderr")
    started = clock.monotonic()
    with words.open("wb") as stderr:
        process = runner.spawn(trial_argv(accelerator, disk), stderr=stderr)
        try:
            while (status := process.poll()) is None and not _gave_up(words):
                if clock.monotonic() - started > limit:
                    break
                clock.sleep(_POLL_SECONDS)
        finally:
            process.kill()
    seconds = clock.monotonic() - started
    if status == exit_status():
        return _Trial("", seconds)
    happened = f"ended with exit status {status}"
    if status is None:
        happened = "stopped" if _gave_up(words) else f"did not end within {limit:.0f} s"
    failure = f"the test guest {happened} under {accelerator.value.upper()}"
    said = _text(words).strip().replace(f"{QEMU}: ", "").splitlines()
    return _Trial(f"{failure} ({said[0]})" if said else failure, seconds)


def _gave_up(words: Path) -> bool:
    """QEMU reports an error of KVM's, stops the guest, and waits for a debugger for ever."""
    text = _text(words)
    return "KVM internal error" in text or "kvm run failed" in text


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")


def _refusal(device: Path) -> str:
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"you may not use {device} (to change that: adduser $USER kvm)"
    return ""


def _boot_id() -> str:
    """Something that is another after each start of the host."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def _program_identity() -> list[object]:
    """Changes when another QEMU is installed; asking it for its version takes ten times longer."""
    found = shutil.which(QEMU)
    if found is None:
        return []
    status = Path(found).stat()
    return [found, status.st_ino, status.st_size, status.st_mtime_ns]


def _device_identity(device: Path) -> list[int]:
    """Changes with the device, and with our right to use it."""
    try:
        found = device.stat()
    except OSError:
        return []
    usable = os.access(device, os.R_OK | os.W_OK)
    return [found.st_dev, found.st_ino, found.st_rdev, int(usable)]


def _read(kept: Path, basis: list[object]) -> AcceleratorProof | None:
    """The answer that is kept, if it was found under the same circumstances."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(kept.read_text())
        if data["basis"] == basis:
            return AcceleratorProof(
                Accelerator(data["accelerator"]),
                str(data["reason"]),
                str(data["qemu"]),
                datetime.fromisoformat(data["proven_at"]),
            )
    return None
