"""``[command]`` of a vm file: the programs that start a machine which exists already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from harness.guest.backends import FixedMachine
from harness.host.tables import Table, read_table
from harness.image.media import BootMethod

USUAL_SECONDS: Final = 120.0
USUAL_SLOWNESS: Final = 16.0
"""Hardware spends minutes in its firmware alone."""

_Words = Annotated[list[Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]+\Z")]],
                   msgspec.Meta(min_length=1)]  # fmt: skip
_Variable = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z")]


@dataclass(frozen=True, slots=True)
class CommandMachine:
    """The programs of a machine, each a program and its arguments.

    Args:
        name: of the machine; files that have it in common take turns.
        directory: of the file: where the programs run.
        power_on: switches the machine on, so that it boots.
        power_off: switches it off, and does no harm if it is off.
        console: its first serial port is this one's standard input and output.
        channel: the same for its second serial port; empty if nothing is connected there.
        deliver: gets what is to boot to where the machine boots from; empty for nothing to do.
        power_state: prints ``on`` or ``off``; empty if nothing tells.
        environment: variables of the user's that the programs are given.
        seconds: that each may take, but for the serial ports'.
    """

    name: str
    directory: Path
    power_on: tuple[str, ...]
    power_off: tuple[str, ...]
    console: tuple[str, ...]
    channel: tuple[str, ...] = ()
    deliver: tuple[str, ...] = ()
    power_state: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    seconds: float = USUAL_SECONDS

    @property
    def key(self) -> str:
        """The name, fit for a file's."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    def programs(self) -> dict[str, tuple[str, ...]]:
        """Those that there are, by their keys."""
        named = {
            "power_on": self.power_on, "power_off": self.power_off, "console": self.console,
            "channel": self.channel, "deliver": self.deliver, "power_state": self.power_state,
        }  # fmt: skip
        return {key: words for key, words in named.items() if words}


class _CommandTable(Table, frozen=True, kw_only=True):
    machine: Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{1,100}\Z")] | None = None
    power_on: _Words
    power_off: _Words
    console: _Words
    channel: _Words | None = None
    deliver: _Words | None = None
    power_state: _Words | None = None
    environment: tuple[_Variable, ...] = ()
    methods: Annotated[tuple[Literal["loader", "direct"], ...], msgspec.Meta(min_length=1)] = (
        "loader",
    )
    seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = USUAL_SECONDS
    slowness: Annotated[float, msgspec.Meta(ge=1, le=1000)] = USUAL_SLOWNESS


def read_machine(table: dict[str, Any], file: Path) -> FixedMachine:
    """The machine of a table.

    Args:
        table: ``[command]``.
        file: that it stands in; programs with a slash in their names are found from its directory.

    Raises:
        Complaint: what is wrong with it.
    """
    read = read_table(table, _CommandTable)
    directory = file.absolute().parent

    def words(given: list[str] | None) -> tuple[str, ...]:
        program, *arguments = given or [""]
        if not program:
            return ()
        return (str(directory / program) if "/" in program else program, *arguments)

    machine = CommandMachine(
        name=read.machine or file.stem,
        directory=directory,
        power_on=words(read.power_on),
        power_off=words(read.power_off),
        console=words(read.console),
        channel=words(read.channel),
        deliver=words(read.deliver),
        power_state=words(read.power_state),
        environment=read.environment,
        seconds=read.seconds,
    )
    methods = tuple(method for method in BootMethod if method.value in read.methods)
    return FixedMachine(
        str(file), machine, methods, read.slowness, has_channel=bool(machine.channel)
    )
