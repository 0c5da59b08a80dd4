"""The guard of children's sessions, with real processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import psutil
import pytest

from harness.host.sessionguard import SessionGuard

SECONDS = 60.0
"""Longer than any of this takes, on whatever host; nothing waits for all of it."""


@pytest.fixture
def guard() -> Iterator[SessionGuard]:
    guard = SessionGuard()
    yield guard
    guard.stop()


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three leaders of sessions."""
    words = ["sleep", "1000"]
    processes = [subprocess.Popen(words, start_new_session=True) for _ in range(3)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_sessions_that_are_held_are_killed_and_others_are_not(
    guard: SessionGuard, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    for each in sleepers:
        guard.hold(each.pid)
    guard.release(sleepers[1].pid)
    guard.stop()
    assert [sleepers[number].wait(SECONDS) for number in (0, 2)] == [-9, -9]
    assert sleepers[1].poll() is None


def test_session_that_is_held_for_two_children_is_held_until_both_are_released(
    guard: SessionGuard, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    """As if the process ID of the first had been reused before its release."""
    first, second, _ = sleepers
    for _ in range(2):
        guard.hold(first.pid)
        guard.hold(second.pid)
        guard.release(first.pid)
    guard.release(second.pid)
    guard.stop()
    assert second.wait(SECONDS) == -9
    assert first.poll() is None


def test_guard_that_was_killed_is_replaced_and_holds_all_sessions(
    guard: SessionGuard, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    before = set(psutil.Process().children())
    guard.hold(sleepers[0].pid)
    (process,) = set(psutil.Process().children()) - before
    process.kill()
    process.wait(SECONDS)
    guard.hold(sleepers[1].pid)
    guard.stop()
    assert [each.wait(SECONDS) for each in sleepers[:2]] == [-9, -9]
    assert sleepers[2].poll() is None


def test_guard_without_sessions_is_no_process(guard: SessionGuard) -> None:
    before = set(psutil.Process().children())
    guard.release(1)
    assert set(psutil.Process().children()) == before
