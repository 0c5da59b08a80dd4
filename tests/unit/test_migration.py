"""The state of a guest's devices, saved and loaded by a QEMU that a script plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.errors import InfraError
from harness.guest.migration import MIGRATION_SECONDS, load_state, save_state
from harness.guest.qmp import Monitor
from harness.host.clock import Clock, ManualClock

Migration = Callable[[Monitor, int, Clock], None]
BOTH = pytest.mark.parametrize(
    ("migrate", "verb"), [(save_state, "save"), (load_state, "load")], ids=["save", "load"]
)


class ScriptedQemu:
    """Answers ``query-migrate`` in turn, the last answer for ever; see ``Monitor``."""

    stopped = True

    def __init__(self, *answers: Mapping[str, Any]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int | None]] = []

    def query(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = 0.0,
        descriptor: int | None = None,
    ) -> Any:
        del arguments, timeout
        self.asked.append((command, descriptor))
        if command != "query-migrate":
            return {}
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def drain(self) -> None:
        pass


@BOTH
def test_it_waits_until_qemu_has_completed(migrate: Migration, verb: str) -> None:
    del verb
    qemu = ScriptedQemu({}, {"status": "setup"}, {"status": "active"}, {"status": "completed"})
    migrate(qemu, 7, ManualClock())
    assert ("getfd", 7) in qemu.asked
    assert [command for command, _ in qemu.asked].count("query-migrate") == 4


@BOTH
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": "failed", "error-desc": "no space left"}, "no space left"),
        ({"status": "failed"}, "failed"),
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "active"}, "active"),
        ({}, "no status"),
    ],
)
def test_what_does_not_complete_in_time_is_named_with_the_remedy(
    migrate: Migration, verb: str, answer: Mapping[str, Any], reason: str
) -> None:
    clock = ManualClock()
    with pytest.raises(InfraError) as failed:
        migrate(ScriptedQemu(answer), 7, clock)
    assert failed.value.message == f"QEMU does not {verb} the guest's state: {reason}"
    assert "--no-snapshot" in failed.value.remedy
    assert clock.monotonic() < MIGRATION_SECONDS + 1
