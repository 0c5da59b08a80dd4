"""What a client learns of a guest whose connection was lost (``harness.guest.contact``)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.guest.contact import Contact, HeldShell
from harness.host.clock import Clock, ManualClock
from harness.shell.shell import Shell


class EventfulClock(ManualClock):
    """Calls ``later`` when somebody has slept for a while."""

    def __init__(self, later: Callable[[], None]) -> None:
        super().__init__()
        self._later = later

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.monotonic() >= 5:
            self._later()


class NoTap:
    """A port that nobody uses here."""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        del timeout, also
        return None

    def write(self, data: bytes) -> None:
        del data


def no_shell(_: Clock) -> Shell:
    raise AssertionError


@pytest.mark.parametrize("answers", [False, True])
def test_a_guest_lives_if_its_console_answers(answers: bool) -> None:
    held = HeldShell()
    assert held.lives(Contact(NoTap(), no_shell, lambda _: answers), ManualClock()) is answers
    assert not held.stopped.is_set()


def test_a_guest_that_still_answers_gets_time_to_shut_down() -> None:
    held = HeldShell()
    clock = EventfulClock(held.stop)
    assert held.lives(Contact(NoTap(), no_shell, lambda _: True), clock)
    assert held.stopped.is_set()
    assert clock.monotonic() < 6


def test_a_guest_whose_end_is_known_counts_as_one_that_was_alive() -> None:
    held = HeldShell()
    held.stop()
    assert held.lives(Contact(NoTap(), no_shell), ManualClock())
