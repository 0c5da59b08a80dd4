"""What a check is of, and where."""

from __future__ import annotations

from copy import copy

import pytest

from harness.errors import UsageError
from harness.runs.check import checked_on_host
from harness.subsystems.subsystem import Subsystem
from harness.subsystems.table import SUBSYSTEMS


def in_guests_alone(subsystem: Subsystem) -> Subsystem:
    """The same without a part of the host's program."""
    made = copy(subsystem)
    vars(made).update(name=f"{subsystem.name}-in-guests", on_host=None)
    return made


def test_a_check_on_the_host_leaves_out_what_guests_alone_can_show() -> None:
    known = SUBSYSTEMS[0]
    assert checked_on_host((in_guests_alone(SUBSYSTEMS[1]), known)) == (known,)


def test_a_check_on_the_host_of_nothing_else_is_refused() -> None:
    with pytest.raises(UsageError, match="uma-in-guests can be checked in a guest only"):
        checked_on_host([in_guests_alone(SUBSYSTEMS[0])])
