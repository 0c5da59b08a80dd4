"""The plan of nightly runs: ``nightly.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from harness.host.tables import Table
from harness.nightly.tellplan import TellPlan

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]
Duration = Annotated[
    str, msgspec.Meta(pattern=r"^(?=.*[1-9])[0-9]{1,7}(\.[0-9]{1,3})?[smhd]$")
]  # fmt: skip
_Branch = Annotated[
    str, msgspec.Meta(pattern=r"^[^-\s\x00-\x1f\x7f][^\s\x00-\x1f\x7f]*$", max_length=200)
]
_Times = Annotated[int, msgspec.Meta(ge=1, le=1000)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]

CELL_KINDS = ("boot", "check", "command", "control")
"""The plan's tables of cells."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class TreePlan(Table, frozen=True, kw_only=True):
    """``[[tree]]``: a source tree, and its branches."""

    name: Name
    """Its name in pages and news."""
    source: Annotated[str, msgspec.Meta(min_length=1)]
    """A FreeBSD tree, a git URL, or ``embedded``."""
    branches: tuple[_Branch, ...] = ("HEAD",)
    """Branches, each judged by itself."""
    kernconf: str | None = None
    """Name or file of a kernel configuration; default: the slim one."""


class GuestPlan(Table, frozen=True, kw_only=True):
    """The keys of ``[[boot]]``, ``[[check]]``, ``[[command]]`` and ``[[control]]`` alike."""

    name: Name | None = None
    """The first word of the cells' names; default: the kind."""
    trees: tuple[Name, ...] = ()
    """Names of trees; default: all."""
    sanitizers: tuple[str, ...] = ("none",)
    """A kernel configuration each, such as ``none``, ``kasan`` or ``kasan,kubsan``."""
    options: tuple[str, ...] = ()
    """Kernel options, such as ``INVARIANTS=n``."""
    numa: str | None = None
    """Numbers of NUMA nodes, a cell each: ``1,2,4``."""
    vms: tuple[str, ...] = ()
    """Names or files of guests of ``vmconfigs/``, a cell each."""
    boot: Literal["loader", "direct"] | None = None
    """How kernels are started; default: direct."""
    accelerator: Literal["auto", "tcg", "kvm"] | None = None
    """QEMU's accelerator; default: that of the settings."""
    until: Literal["init", "mountroot"] = "init"
    """The stage that each boot must reach."""
    timeout: Duration | None = None
    """Time for each boot."""
    tunables: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Kernel environment."""


class BootCells(GuestPlan, frozen=True, kw_only=True):
    """``[[boot]]``: cells that boot."""

    repeat: _Times = 1
    """Boots of each kernel."""
    fail_on_report: bool = False
    """Whether a report after which the kernel continues fails the boot."""


class CheckCells(GuestPlan, frozen=True, kw_only=True):
    """``[[check]]``: cells that check a subsystem against its model."""

    subsystem: str
    """The subsystem."""
    operations: _Positive = 1000
    """Operations of each check; each night has a seed of its own."""


class CommandCells(GuestPlan, frozen=True, kw_only=True):
    """``[[command]]``: cells that run a command in guests with FreeBSD's userland, at the tips."""

    command: Annotated[str, msgspec.Meta(min_length=1)]
    """A command line of sh(1), such as ``kyua test -k /usr/tests/sys/vm/Kyuafile``."""
    world: str = "slim"
    """A kind of world, ``slim`` or ``tests``, or the start of a key of ``harness image ls``."""
    deadline: Duration | None = None
    """Time for the command."""


class ControlCells(GuestPlan, frozen=True, kw_only=True):
    """``[[control]]``: mutants that must fail, which shows that failures are found."""

    mutant: str
    """The mutant."""
    outcome: tuple[str, ...] = ("panic", "trap", "kasan", "kmsan")
    """The outcomes that it may have; ``booted`` where it has no effect."""
    title: str = ""
    """A part of the title that the failure must have."""


class NightlyPlan(Table, frozen=True, kw_only=True):
    """All keys of the file."""

    name: Name
    """Its name in the history, in pages and news."""
    every: Duration = "24h"
    """How often it runs; ``harness nightly status`` fails if a night is missing."""
    budget: Duration | None = None
    """Time for a night; what it leaves out is ``not run``."""
    history: str | None = None
    """File of the history, or URL of a PostgreSQL database; default: in the state directory."""
    issues: str = "issues.toml"
    """File of the known issues, beside the plan."""
    pages: str | None = None
    """Directory of the pages, beside the plan, written after each night; default: none are."""
    host_retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    """How often a cell is run again in which the host failed."""
    tip_boots: _Times = 1
    """Boots of each cell at the tips, as the budget allows: more find what fails seldom."""
    tree: Annotated[tuple[TreePlan, ...], msgspec.Meta(min_length=1)]
    boot: tuple[BootCells, ...] = ()
    check: tuple[CheckCells, ...] = ()
    command: tuple[CommandCells, ...] = ()
    control: tuple[ControlCells, ...] = ()
    tell: TellPlan | None = None


def seconds_of(duration: str) -> float:
    """Return a duration such as ``90m`` in seconds.

    Raises:
        ValueError: it is not a number with s, m, h or d.
    """
    number, unit = duration[:-1], duration[-1:]
    if unit not in _UNITS:
        raise ValueError("it must be a number with a unit: 90s, 30m, 6h, 1d")
    return float(number) * _UNITS[unit]
