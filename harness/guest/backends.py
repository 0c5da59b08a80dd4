"""The table of backends: what each is called, which options it takes, how it is made.

A backend is a row here and a module beside this one, which has its ``TYPE``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import UsageError
from harness.host.accelerator import Accelerator

if TYPE_CHECKING:
    from harness.guest.backend import Backend
    from harness.host.clock import Clock
    from harness.host.doctor import Doctor, HostFinding
    from harness.host.process import Runner
    from harness.host.workspace import Workspace
    from harness.image.media import BootMethod


@dataclass(frozen=True, slots=True)
class BackendOption:
    """What a user may tell a backend.

    Args:
        name: of its value, as ``BackendHost.options`` has it.
        setting: its key in the settings, such as ``boot.libvirt_uri``.
        variable: an environment variable that beats the settings; empty for none.
        flag: on the command line, which beats both; empty for none.
        metavar: of the flag.
        help: of the flag.
    """

    name: str
    setting: str
    variable: str = ""
    flag: str = ""
    metavar: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class FixedMachine:
    """A machine that exists already: nobody makes it to order.

    Args:
        name: the file that describes it.
        own: what the backend has read of that file.
        methods: what can bring a kernel into its memory.
        slowness: how much more time everything gets than under a fast KVM.
        accelerator: what executes its instructions.
        backend: that starts it.
        has_channel: a second serial port of it is connected, over which a check works.
    """

    name: str
    own: object
    methods: tuple[BootMethod, ...]
    slowness: float
    accelerator: Accelerator = Accelerator.NONE
    backend: str = ""
    has_channel: bool = True

    def require_channel(self) -> None:
        """Raise UsageError if a check cannot work with it."""
        if not self.has_channel:
            raise UsageError(
                f"{self.name} describes a machine without a second serial port, which a check "
                "needs",
                remedy=f'connect one, and name it in [{self.backend}]: channel = ["PROGRAM", …]',
            )


@dataclass(frozen=True, slots=True)
class BackendHost:
    """What a backend is made for.

    Args:
        runner: starts programs.
        clock: tells time.
        workspace: for its files.
        options: what the user told it, by ``BackendOption.name``.
        machine: the one that the vm file describes, if it describes one.
    """

    runner: Runner
    clock: Clock
    workspace: Workspace
    options: Mapping[str, str] = field(default_factory=dict)
    machine: FixedMachine | None = None


def _nothing_found(doctor: Doctor) -> Iterable[HostFinding]:
    del doctor
    return ()


def _nothing_examined(host: BackendHost) -> Iterable[HostFinding]:
    del host
    return ()


@dataclass(frozen=True, slots=True)
class BackendType:
    """What the module of a backend offers.

    Args:
        make: makes it.
        read_machine: reads the table of its name in a vm file, given the file's path; None for
            backends that make machines to order.
        findings: what the doctor finds about it.
        examine: what the doctor finds about a machine that exists already; runs programs of its
            file that change nothing.
    """

    make: Callable[[BackendHost], Backend]
    read_machine: Callable[[dict[str, Any], Path], FixedMachine] | None = None
    findings: Callable[[Doctor], Iterable[HostFinding]] = _nothing_found
    examine: Callable[[BackendHost], Iterable[HostFinding]] = _nothing_examined


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend.

    Args:
        name: on the command line, in settings and records; its module has that name.
        options: what it may be told.
        has_machines: vm files may have a table of its name; only such files start it.
        offered: users can choose it.
    """

    name: str
    options: tuple[BackendOption, ...] = ()
    has_machines: bool = False
    offered: bool = True

    @property
    def type(self) -> BackendType:
        """What its module offers, imported when it is needed."""
        found: BackendType = importlib.import_module(f"harness.guest.{self.name}").TYPE
        return found


BACKENDS: Final = (
    BackendRow(
        "qemu", (BackendOption("user", setting="qemu.user", variable="HARNESS_QEMU_USER"),)
    ),
    BackendRow(
        "libvirt",
        (
            BackendOption(
                "libvirt_uri", setting="boot.libvirt_uri", flag="--libvirt-uri", metavar="URI",
                help="Another libvirt.",
            ),
        ),
    ),
    BackendRow("command", has_machines=True),
    BackendRow("fake", offered=False),
)  # fmt: skip

OFFERED: Final = tuple(row.name for row in BACKENDS if row.offered)
"""What ``--backend`` and the settings may name."""


def find_backend(name: str) -> BackendRow:
    """The backend of that name.

    Raises:
        UsageError: there is none.
    """
    for row in BACKENDS:
        if row.name == name:
            return row
    raise UsageError(
        f"there is no backend {name!r}", remedy=f"name one of {', '.join(OFFERED)} with --backend"
    )


def find_about_backends(doctor: Doctor) -> list[HostFinding]:
    """What is found about all of them."""
    return [finding for row in BACKENDS for finding in row.type.findings(doctor)]


def backend_options() -> tuple[BackendOption, ...]:
    """The flags of all backends."""
    return tuple(option for row in BACKENDS for option in row.options if option.flag)


def backend_values(
    row: BackendRow, flags: Mapping[str, str | None], settings: object
) -> dict[str, str]:
    """What the user told a backend: a flag beats a variable, that the settings.

    Args:
        row: the backend.
        flags: values of the flags, by ``BackendOption.name``.
        settings: of the user, with an attribute for each key.
    """
    found: dict[str, str] = {}
    for option in row.options:
        value: Any = settings
        for key in option.setting.split("."):
            value = getattr(value, key)
        given = flags.get(option.name) or os.environ.get(option.variable) or value
        if given:
            found[option.name] = str(given)
    return found
