"""The cells that a plan comes to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any

from harness.errors import UsageError, given_with
from harness.guest.topology import parse_node_counts
from harness.kerneloptions import parse_options
from harness.nightly.plan import (
    CELL_KINDS,
    BootCells,
    CheckCells,
    CommandCells,
    ControlCells,
    GuestPlan,
    NightlyPlan,
    seconds_of,
)
from harness.nightly.result import Slot
from harness.sanitizers import parse_sanitizers


@dataclass(frozen=True, slots=True)
class PlannedBranch:
    """A branch of a tree of the plan.

    Args:
        name: see ``Slot.branch``.
        source: the tree, as ``--source`` names it.
        revision: the branch's name in git.
        kernconf: see ``TreePlan.kernconf``.
    """

    name: str
    source: str
    revision: str
    kernconf: str | None = None


@dataclass(frozen=True, slots=True)
class NightCell:
    """A cell of the plan: what is run at each revision of a branch.

    Args:
        slot: the branch and the cell's name.
        kind: ``boot``, ``check``, ``command`` or ``control``.
        sanitizers: the kernel's, as ``parse_sanitizers`` reads them.
        options: the kernel's options.
        numa: number of NUMA nodes; None with a vm file.
        vm: name or file of a vm file; None with a number of nodes.
        method: ``loader``, ``direct``, or None for the default.
        accelerator: ``auto``, ``tcg``, ``kvm``, or None for the settings'.
        until: the stage to reach.
        timeout: seconds for a boot, or None.
        tunables: kernel environment.
        repeat: boots of each kernel.
        at_tip: boots of a kernel of a tip; those after ``repeat`` as the budget allows.
        fail_on_report: whether a report after which the kernel continues fails the boot.
        subsystem: the subsystem that a check compares; empty for others.
        operations: operations of a check.
        command: the command line; empty for others.
        world: the kind or the key of a command's world; empty for others.
        deadline: seconds for the command, or None.
        mutant: the mutant of a control; empty for others.
        outcomes: the outcomes that a control may have.
        title: a part of the title that a control must have.
    """

    slot: Slot
    kind: str
    sanitizers: str
    options: tuple[str, ...] = ()
    numa: str | None = None
    vm: str | None = None
    method: str | None = None
    accelerator: str | None = None
    until: str = "init"
    timeout: float | None = None
    tunables: Mapping[str, str] = field(default_factory=dict)
    repeat: int = 1
    at_tip: int = 1
    fail_on_report: bool = False
    subsystem: str = ""
    operations: int = 0
    command: str = ""
    world: str = ""
    deadline: float | None = None
    mutant: str = ""
    outcomes: tuple[str, ...] = ()
    title: str = ""

    @property
    def configuration(self) -> str:
        """The kernel configuration: cells with equal ones boot the same kernel."""
        userland = ("userland",) if self.world else ()
        return " ".join((self.sanitizers, *self.options, *userland))

    @property
    def at_tips_only(self) -> bool:
        """Whether it runs at the branches' tips alone."""
        return self.kind == "command"

    def document(self) -> dict[str, Any]:
        """Return the cell as a JSON document."""
        return asdict(self)


def branches_of(plan: NightlyPlan) -> tuple[PlannedBranch, ...]:
    """Return the branches of all trees of the plan."""
    return tuple(
        PlannedBranch(f"{tree.name}:{branch}", tree.source, branch, tree.kernconf)
        for tree in plan.tree
        for branch in tree.branches
    )


def cells_of(plan: NightlyPlan) -> tuple[NightCell, ...]:
    """Return the cells of all branches of the plan.

    Raises:
        UsageError: two cells of a branch have one name, or a sanitizer, an option or a number of
            nodes is invalid.
    """
    found = [
        cell
        for kind in CELL_KINDS
        for number, group in enumerate(getattr(plan, kind))
        for cell in _cells(plan, kind, number, group)
    ]
    slot, times = Counter(cell.slot for cell in found).most_common(1)[0]
    if times > 1:
        raise UsageError(
            f"{times} cells of {slot.branch} are named {slot.cell}",
            remedy='give one of their tables another name: name = "…"',
        )
    return tuple(found)


def _cells(plan: NightlyPlan, kind: str, number: int, group: GuestPlan) -> Iterator[NightCell]:
    with given_with(f"{kind}[{number}]"):
        configurations = [str(parse_sanitizers(text)) for text in group.sanitizers]
        options = parse_options(group.options).texts
        counts = parse_node_counts(group.numa) if group.numa is not None else ()
    guests: list[tuple[str, str | None, str | None]] = [
        (f"numa{count}", str(count), None) for count in counts
    ]
    guests += [(PurePath(vm).stem, None, vm) for vm in group.vms]
    for tree in plan.tree:
        if group.trees and tree.name not in group.trees:
            continue
        for branch in tree.branches:
            for configuration in configurations:
                for guest, numa, vm in guests:
                    words = [*_first_words(kind, group), configuration.lower(), guest]
                    slot = Slot(f"{tree.name}:{branch}", "-".join(words).replace("+", "-"))
                    cell = _cell(kind, group, slot, configuration, options, numa, vm)
                    more = plan.tip_boots if kind in ("boot", "check") else 1
                    yield replace(cell, at_tip=max(cell.repeat, more))


def _first_words(kind: str, group: GuestPlan) -> tuple[str, ...]:
    if group.name:
        return (group.name,)
    if isinstance(group, CheckCells):
        return kind, group.subsystem
    if isinstance(group, ControlCells):
        return kind, group.mutant
    return (kind,)


def _cell(
    kind: str, group: GuestPlan, slot: Slot, configuration: str, options: tuple[str, ...],
    numa: str | None, vm: str | None,
) -> NightCell:  # fmt: skip
    own: dict[str, Any] = {}
    if isinstance(group, BootCells):
        own = {"repeat": group.repeat, "fail_on_report": group.fail_on_report}
    elif isinstance(group, CheckCells):
        own = {"subsystem": group.subsystem, "operations": group.operations}
    elif isinstance(group, CommandCells):
        own = {"command": group.command, "world": group.world}
        own["deadline"] = None if group.deadline is None else seconds_of(group.deadline)
    elif isinstance(group, ControlCells):
        own = {"mutant": group.mutant, "outcomes": group.outcome, "title": group.title}
    return NightCell(
        slot=slot,
        kind=kind,
        sanitizers=configuration,
        options=options,
        numa=numa,
        vm=vm,
        method=group.boot,
        accelerator=group.accelerator,
        until=group.until,
        timeout=None if group.timeout is None else seconds_of(group.timeout),
        tunables=group.tunables,
        **own,
    )
