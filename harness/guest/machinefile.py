"""The table ``[command]`` of a vm file: programs that start an existing machine."""

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
"""Default factor by which limits are stretched; hardware spends minutes in its firmware."""

_Words = Annotated[list[Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]+\Z")]],
                   msgspec.Meta(min_length=1)]  # fmt: skip
_Variable = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z")]


@dataclass(frozen=True, slots=True)
class CommandMachine:
    """The programs of a machine, each a program with its arguments.

    Args:
        name: the machine's name; files with the same name share one lock.
        directory: the file's directory, in which the programs run.
        power_on: switches the machine on, which boots it.
        power_off: switches it off; succeeds if it is off.
        console: connects its standard input and output to the first serial port.
        channel: the same for the second serial port; empty if there is none.
        deliver: copies the media to where the machine boots from; empty if not needed.
        power_state: prints ``on`` or ``off``; empty if unknown.
        environment: the user's environment variables that the programs get.
        seconds: timeout of each program, except those at serial ports.
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
        """The name, as a file name."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    def programs(self) -> dict[str, tuple[str, ...]]:
        """Return the configured programs by key."""
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


def read_machine_file(table: dict[str, Any], file: Path) -> FixedMachine:
    """Return the machine that a table describes.

    Args:
        table: ``[command]``.
        file: the vm file; programs with a slash in their names are relative to its directory.

    Raises:
        Complaint: the table is invalid.
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
