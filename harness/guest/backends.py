"""The table of backends: names, options, constructors.

A backend is a row here, and a module of its name beside this one that defines ``TYPE``.
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
    """An option of a backend.

    Args:
        name: its key in ``BackendHost.options``.
        setting: its key in the settings, such as ``boot.libvirt_uri``.
        variable: an environment variable that overrides the setting; empty for none.
        flag: a command line flag that overrides both; empty for none.
        metavar: the flag's metavar.
        help: the flag's help text.
    """

    name: str
    setting: str
    variable: str = ""
    flag: str = ""
    metavar: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class FixedMachine:
    """A machine that exists already, described by a vm file.

    Args:
        name: the vm file.
        own: the backend's part of that file.
        methods: the boot methods that it supports.
        slowness: factor by which limits are stretched; 1 is a fast KVM.
        accelerator: the accelerator that executes its instructions.
        backend: the backend that starts it.
        has_channel: whether its second serial port, which a check uses, is connected.
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
    """Arguments for constructing a backend.

    Args:
        runner: starts programs.
        clock: measures time.
        workspace: holds its files.
        options: values by ``BackendOption.name``.
        machine: the machine of the vm file; None if the file describes none.
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
    """What a backend's module provides.

    Args:
        make: constructs the backend.
        read_machine: reads the backend's table of a vm file, given the file's path; None for
            backends that create machines.
        findings: checks of ``harness doctor``.
        examine: checks of ``harness doctor --vm`` for an existing machine; it runs only those of
            the file's programs that change nothing.
    """

    make: Callable[[BackendHost], Backend]
    read_machine: Callable[[dict[str, Any], Path], FixedMachine] | None = None
    findings: Callable[[Doctor], Iterable[HostFinding]] = _nothing_found
    examine: Callable[[BackendHost], Iterable[HostFinding]] = _nothing_examined


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend.

    Args:
        name: its name on the command line, in settings and records, and its module's name.
        options: its options.
        has_machines: vm files can have a table of its name; only such files select it.
        offered: whether users can select it.
    """

    name: str
    options: tuple[BackendOption, ...] = ()
    has_machines: bool = False
    offered: bool = True

    @property
    def type(self) -> BackendType:
        """The module's ``TYPE``; imported on first use."""
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
                help="Connect to this libvirt.",
            ),
        ),
    ),
    BackendRow("command", has_machines=True),
    BackendRow("fake", offered=False),
)  # fmt: skip

OFFERED: Final = tuple(row.name for row in BACKENDS if row.offered)
"""Values of ``--backend`` and of the setting."""


def find_backend(name: str) -> BackendRow:
    """Return the backend of that name.

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
    """Yield the findings of all backends."""
    return [finding for row in BACKENDS for finding in row.type.findings(doctor)]


def backend_options() -> tuple[BackendOption, ...]:
    """Return the flags of all backends."""
    return tuple(option for row in BACKENDS for option in row.options if option.flag)


def backend_values(
    row: BackendRow, flags: Mapping[str, str | None], settings: object
) -> dict[str, str]:
    """Return a backend's option values: flag, else environment variable, else setting.

    Args:
        row: the backend.
        flags: values of the flags, by ``BackendOption.name``.
        settings: the user's, with an attribute for each key.
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
