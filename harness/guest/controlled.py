"""What guests have in common that QEMU runs, whoever has started it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.guest.qmp import ControlChannel
    from harness.guest.spec import GuestSpec


class ControlledGuest:
    """A guest with a control channel; part of a ``Guest``.

    Args:
        control: the channel.
    """

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    @property
    def monitor(self) -> ControlChannel:
        """See ``Guest``."""
        return self._control

    def query(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """See ``ControlChannel``."""
        return self._control.query(command, arguments)

    def machine_differences(self, spec: GuestSpec) -> tuple[str, ...]:
        """See ``Guest``: according to QEMU."""
        from harness.guest.machine import machine_differences, read_machine

        return machine_differences(spec, read_machine(self.query))

    def forwarded_port(self) -> int:
        """See ``Guest``."""
        from harness.guest.machine import read_forwarded_port

        return read_forwarded_port(self.query)

    def require_running(self) -> None:
        """See ``Guest``."""
        self.query("query-status")
