"""What is done with a failed guest before it is ended: a memory dump, questions to DDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.console import events as e
from harness.debug.ddb import DdbSession, await_prompt, interrogate
from harness.debug.memorydump import DUMP_FILE, MemoryDump, dump_memory
from harness.debug.plan import DebugFindings
from harness.outcome import Ending

if TYPE_CHECKING:
    from pathlib import Path

    from harness.boot.panicstop import PanicStop
    from harness.boot.plan import BootPlan
    from harness.guest.backend import Guest
    from harness.guest.serialtap import Tap
    from harness.host.clock import Clock
    from harness.host.progress import Progress

_FAILURES: Final = (e.Panic, e.FatalTrap, e.SanitizerReport, e.DebuggerEntered, e.DebuggerPrompt)

_HANGS: Final = frozenset({Ending.SILENCE, Ending.DEADLINE, Ending.TIMEOUT, Ending.FLOOD})

_BOOTED: Final = "the guest did not fail"
_GONE: Final = (
    "the guest ended by itself: its kernel has no debugger (options KDB and DDB), the tunable "
    "debug.debugger_on_panic is 0, or it was reset"
)
_NOT_STOPPED: Final = "the guest hangs, and did not enter the debugger"
_NO_MONITOR: Final = "a machine that exists already has no QEMU to dump its memory"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is done with one guest.

    Args:
        guest: the guest.
        line: its console.
        plan: how it was booted.
        directory: the directory of its cell.
        clock: measures timeouts.
        progress: shows what is done.
    """

    guest: Guest
    line: Tap
    plan: BootPlan
    directory: Path
    clock: Clock
    progress: Progress

    def findings(
        self, ending: Ending, events: Sequence[e.Event], stop: PanicStop | None = None
    ) -> DebugFindings:
        """Dump the memory of a guest that has failed, then ask DDB, as planned.

        Args:
            ending: how listening to it has ended.
            events: the console's events.
            stop: its breakpoint at a panic, which is removed.
        """
        gdb = None
        if stop is not None:
            stop.close()
            gdb = stop.session
        asked = self.plan.debug
        failed = any(isinstance(event, _FAILURES) for event in events)
        why = self._nothing(ending, failed=failed) if asked.dump or asked.ddb else ""
        entered = any(isinstance(event, e.DebuggerEntered) for event in events)
        dump = self._dump(why, entered=entered) if asked.dump else None
        why = why or ("" if failed else _NOT_STOPPED)
        return DebugFindings(self._answers(why) if asked.ddb else None, dump, gdb)

    def _nothing(self, ending: Ending, *, failed: bool) -> str:
        """Return why there is nothing to look at; empty if there is."""
        if not failed and ending not in _HANGS:
            return _BOOTED
        return _GONE if self.guest.wait(0) is not None else ""

    def _dump(self, why: str, *, entered: bool) -> MemoryDump:
        monitor = self.guest.monitor
        if why or monitor is None:
            return MemoryDump(note=why or _NO_MONITOR)
        self.progress.stage("dump")
        if entered:
            await_prompt(self.line, self.clock, self.plan.slowness)
        return dump_memory(monitor, self.directory / DUMP_FILE, self.plan.topology.memory_mib)

    def _answers(self, why: str) -> DdbSession:
        if why:
            return DdbSession(note=why)
        self.progress.stage("ddb")
        return interrogate(self.line, self.plan.debug.ddb, self.clock, self.plan.slowness)
