"""The state of a guest's devices, saved and loaded by QEMU's migration; memory is not part of it.

The guest's memory is shared (``GuestSpec.ram``), and QEMU leaves it out (``x-ignore-shared``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.host.workspace import host_refused

if TYPE_CHECKING:
    from pathlib import Path

    from harness.guest.qmp import Monitor
    from harness.host.clock import Clock

MIGRATION_SECONDS: Final = 60.0
"""Timeout of a migration, which takes a few hundredths of a second on an idle host."""

_NAME: Final = "snapshot"
_POLL_SECONDS: Final = 0.01
_BANDWIDTH: Final = 1 << 40


def save_state(monitor: Monitor, file: int, clock: Clock) -> None:
    """Write the devices' state of a stopped guest to a file.

    The guest can be continued afterwards, whether this succeeds or not. Its disks are complete on
    the host until then.

    Args:
        monitor: QEMU's.
        file: descriptor of the file.
        clock: measures the timeout.

    Raises:
        InfraError: QEMU cannot write it, or does not answer.
    """
    _ignore_shared(monitor)
    monitor.query("migrate-set-parameters", {"max-bandwidth": _BANDWIDTH})
    monitor.query("getfd", {"fdname": _NAME}, descriptor=file)
    monitor.query("migrate", {"uri": f"fd:{_NAME}"})
    _complete(monitor, clock, "save")


def load_state(monitor: Monitor, file: int, clock: Clock) -> None:
    """Load the devices' state into a QEMU that waits for it (``-incoming defer``).

    QEMU exits if the state is not of a machine like its own. Afterwards the guest is stopped.

    Raises:
        InfraError: QEMU does not load it, or exits.
    """
    _ignore_shared(monitor)
    monitor.query("getfd", {"fdname": _NAME}, descriptor=file)
    monitor.query("migrate-incoming", {"uri": f"fd:{_NAME}"})
    _complete(monitor, clock, "load")


def load_file(monitor: Monitor, path: Path, clock: Clock) -> None:
    """Load the devices' state from a file; see ``load_state``.

    Raises:
        InfraError: the file cannot be read, or see ``load_state``.
    """
    try:
        with path.open("rb") as file:
            load_state(monitor, file.fileno(), clock)
    except OSError as error:
        raise host_refused(path, error) from error


def _ignore_shared(monitor: Monitor) -> None:
    capability = {"capability": "x-ignore-shared", "state": True}
    monitor.query("migrate-set-capabilities", {"capabilities": [capability]})


def _complete(monitor: Monitor, clock: Clock, verb: str) -> None:
    deadline = clock.monotonic() + MIGRATION_SECONDS
    while True:
        answer = monitor.query("query-migrate")
        status = answer.get("status")
        if status == "completed":
            return
        if status in ("failed", "cancelled") or clock.monotonic() > deadline:
            reason = answer.get("error-desc") or status or "no status"
            raise InfraError(
                f"QEMU does not {verb} the guest's state: {reason}",
                remedy="guests boot without it: --no-snapshot",
            )
        clock.sleep(_POLL_SECONDS)
