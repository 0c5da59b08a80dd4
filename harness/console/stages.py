"""The stages of a boot."""

from __future__ import annotations

from enum import StrEnum

from harness.console import events as e


class Stage(StrEnum):
    """The stages of a boot, in order. Each starts with an event."""

    FIRMWARE = "firmware"
    LOADER = "loader"
    KERNEL = "kernel"
    CPUS = "CPUs"
    DEVICES = "devices"
    ROOT = "root"
    INIT = "init"
    SSH = "ssh"
    SHUTDOWN = "shutdown"

    @property
    def in_kernel(self) -> bool:
        """Whether the kernel was entered."""
        return self not in (Stage.FIRMWARE, Stage.LOADER)


_ORDER = tuple(Stage)

_BEGUN_BY: dict[type[e.Event], Stage] = {
    e.LoaderStarted: Stage.LOADER,
    e.FileLoading: Stage.LOADER,
    e.LoaderPrompt: Stage.LOADER,
    e.LoaderFailed: Stage.LOADER,
    e.KernelEntered: Stage.KERNEL,
    e.MessagesBegin: Stage.KERNEL,
    e.KernelStarted: Stage.KERNEL,
    e.Panic: Stage.KERNEL,
    e.FatalTrap: Stage.KERNEL,
    e.CpusLaunched: Stage.CPUS,
    e.DeviceScan: Stage.DEVICES,
    e.MountRoot: Stage.ROOT,
    e.MountRootPrompt: Stage.ROOT,
    e.InitStarted: Stage.INIT,
    e.LoginPrompt: Stage.INIT,
    e.ProbeRecord: Stage.INIT,
    e.ServiceReady: Stage.SSH,
    e.Shutdown: Stage.SHUTDOWN,
}


def stage_after(stage: Stage, event: e.Event) -> Stage:
    """Return the stage after ``event``: never an earlier one, unless the firmware starts again."""
    if isinstance(event, e.FirmwareStarted):
        return Stage.FIRMWARE
    if isinstance(event, e.Shutdown) and not stage.in_kernel:
        return stage  # the loader prints such lines, too
    return max(stage, _BEGUN_BY.get(type(event), stage), key=_ORDER.index)
