"""The ways to a guest that has booted: its second serial port, and SSH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.guest.serialtap import Tap
    from harness.guest.shell import Shell
    from harness.host.clock import Clock


@dataclass(frozen=True, slots=True)
class Contact:
    """The ways to a guest.

    Args:
        tap: the harness's end of its second serial port.
        shell: returns a shell that has not logged in; its argument measures how long the guest
            could run. Raises ShellError if the guest has none.
        answers: types Enter at the console, and returns whether the guest printed anything; its
            argument measures its time limit.
    """

    tap: Tap
    shell: Callable[[Clock], Shell]
    answers: Callable[[Clock], bool] = lambda _: False
