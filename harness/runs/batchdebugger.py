"""gdb where a panic begins, without a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.kernel.artifact import KernelArtifact
    from harness.runs.environment import Environment


@dataclass(frozen=True, slots=True)
class BatchDebugger:
    """Records a backtrace of the panic; see ``PanicDebugger``.

    Every boot has one and few need it, so what it needs is imported at the panic.

    Args:
        env: the host.
    """

    env: Environment

    def debug(self, kernel: KernelArtifact, subsystem: str, stub: Path) -> str:
        """See ``PanicDebugger``."""
        from harness.debug.gdb import BACKTRACE, DebugFiles, run_batch, words_for_stub

        words = words_for_stub(DebugFiles.of(kernel, subsystem), stub, BACKTRACE)
        output = run_batch(self.env.runner, words).expandtabs()
        for root in kernel.identity.source_roots:
            output = output.replace(f"{root}/", "")
        return output
