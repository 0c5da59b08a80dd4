"""What is asked of a guest that fails, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from harness.debug.ddb import DdbSession
    from harness.debug.memorydump import MemoryDump
    from harness.kernel.artifact import KernelArtifact

_STOP_IN_DEBUGGER: Final = {"debug.debugger_on_panic": "1"}


@dataclass(frozen=True, slots=True)
class DebugPlan:
    """What is asked of a guest that fails.

    Args:
        ddb: commands for DDB.
        dump: write a memory dump.
        at_panic: stop the guest at the start of a panic, for gdb.
    """

    ddb: tuple[str, ...] = ()
    dump: bool = False
    at_panic: bool = False

    @property
    def tunables(self) -> Mapping[str, str]:
        """Kernel environment with which a guest that panics waits, also with KDB_UNATTENDED."""
        return _STOP_IN_DEBUGGER if self.ddb or self.dump else {}


NO_DEBUG: Final = DebugPlan()


@dataclass(frozen=True, slots=True)
class GdbSession:
    """What gdb printed at a panic.

    Args:
        output: gdb's output; empty for a session at the terminal.
        note: why there was none; empty if there was one.
    """

    output: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class DebugFindings:
    """What was found; None for what was not asked.

    Args:
        ddb: the answers of DDB.
        dump: the memory dump.
        gdb: gdb at the panic.
    """

    ddb: DdbSession | None = None
    dump: MemoryDump | None = None
    gdb: GdbSession | None = None


NO_FINDINGS: Final = DebugFindings()


class PanicDebugger(Protocol):
    """Runs gdb on a guest that is stopped at a panic."""

    def debug(self, kernel: KernelArtifact, subsystem: str, stub: Path) -> str:
        """Run gdb until it ends; return its output, if the user did not see it.

        Args:
            kernel: the guest's kernel.
            subsystem: the subsystem whose check module is in the guest; empty for none.
            stub: the socket of QEMU's stub.

        Raises:
            InfraError: gdb is missing, or does not end.
        """
        ...
