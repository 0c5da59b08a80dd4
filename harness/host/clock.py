"""Clocks, passed to the code that waits, so that tests can use a manual one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """A clock."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start, which never decrease."""
        ...

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        ...


class HostClock:
    """The clock of the host."""

    def monotonic(self) -> float:
        """Return the host's monotonic clock."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the host's time of day, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Suspend the calling thread for ``seconds``."""
        time.sleep(seconds)


class ManualClock:
    """A clock for tests, which only ``sleep`` advances."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0

    def monotonic(self) -> float:
        """Return the seconds slept so far."""
        return self._elapsed

    def now(self) -> datetime:
        """Return the start plus the seconds slept so far."""
        return self._start + timedelta(seconds=self._elapsed)

    def sleep(self, seconds: float) -> None:
        """Advance the clock by ``seconds`` and return at once."""
        self._elapsed += seconds
