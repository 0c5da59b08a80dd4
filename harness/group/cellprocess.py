"""What the process of a leased cell reports: that it runs, and its result."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from harness.errors import HarnessError, InfraError, UsageError

if TYPE_CHECKING:
    from harness.group.celldirectory import CellDirectory
    from harness.group.reports import HostReports
    from harness.host.clock import Clock

#: Seconds between reports that a cell runs.
_BEAT: Final = 5.0

#: Seconds for which a cell tries to report by itself; its worker tries afterwards.
_PATIENCE: Final = 30.0


@contextlib.contextmanager
def beating(reports: HostReports, lease: int, seconds: float = _BEAT) -> Iterator[None]:
    """Report that the cell runs, until the end of the context; end it if it is cancelled."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(seconds):
            with contextlib.suppress(HarnessError):
                if reports.beat_cell(lease) == "cancelled":
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_PATIENCE)
        reports.close()


def report_result(reports: HostReports, cell: CellDirectory, clock: Clock) -> None:
    """Report a result that is written; leave it to the worker if the server is away."""
    found = cell.result()
    deadline = clock.monotonic() + _PATIENCE
    while found is not None and clock.monotonic() < deadline:
        try:
            reports.report(cell.lease, *found)
            break
        except InfraError:
            clock.sleep(1.0)
        except UsageError:
            break
    reports.close()
