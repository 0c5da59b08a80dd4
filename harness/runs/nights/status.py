"""Whether a plan runs as often as it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.host.processid import ProcessId
from harness.nightly.night import NightState
from harness.nightly.plan import seconds_of
from harness.runs.nights.openplan import night_lock

if TYPE_CHECKING:
    from harness.runs.environment import Environment
    from harness.runs.nights.openplan import OpenPlan

#: A night that is so many periods old is missing its successor.
_LATE: Final = 1.5


@dataclass(frozen=True, slots=True)
class NightStatus:
    """Whether nights are missing.

    Args:
        late: whether the last night is too old, or did not end.
        text: why, in a sentence.
        number: the last night; 0 if there is none.
    """

    late: bool
    text: str
    number: int


def night_status(opened: OpenPlan, env: Environment) -> NightStatus:
    """Return whether the last night of a plan has ended, and is young enough.

    Raises:
        InfraError: the history cannot be read.
    """
    now = env.clock.now()
    name, every = opened.plan.name, seconds_of(opened.plan.every)
    last = next(iter(opened.reader.nights(1)), None)
    if last is None:
        return NightStatus(True, f"no night of {name} has run", 0)
    age = (now - last.started).total_seconds()
    hours = f"{age / 3600:.1f} hours ago" if age >= 3600 else f"{age / 60:.0f} min ago"
    if age > _LATE * every:
        return NightStatus(True, f"night {last.number} of {name} began {hours}", last.number)
    if last.state is NightState.RUNNING and not _runs(opened, env):
        return NightStatus(
            True, f"night {last.number} of {name} was killed; it began {hours}", last.number
        )
    if last.state is NightState.STOPPED:
        return NightStatus(True, f"night {last.number} of {name} did not end", last.number)
    return NightStatus(False, f"night {last.number} of {name} began {hours}", last.number)


def _runs(opened: OpenPlan, env: Environment) -> bool:
    """Return whether a process runs a night of the plan, here or on another host."""
    lock = night_lock(opened.plan.name)
    holder = env.workspace.holder(lock)
    here = holder is not None and ProcessId.of(holder) is not None
    return here or opened.database.is_locked(lock)
