"""The guests that a request names: their topologies, and how they are booted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.boot.booter import Booter
from harness.boot.plan import BootPlan
from harness.errors import UsageError, given_with
from harness.guest.backends import BackendHost, backend_values, find_backend
from harness.guest.sanitizermemory import default_topology, memory_warnings
from harness.guest.topology import Topology, parse_node_counts
from harness.host.accelerator import Accelerator
from harness.image.media import BootMethod
from harness.outcome import Until
from harness.sanitizers import NONE
from harness.world.config import WorldKind

if TYPE_CHECKING:
    from harness.guest.backend import Backend
    from harness.guest.backends import FixedMachine
    from harness.guest.vmconfig import VmConfig
    from harness.runs.environment import Environment
    from harness.runs.view import View
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest

_MAX_GUESTS = 8

AUTO = "auto"
"""The accelerator is chosen by measurement."""


def most_guests() -> int:
    """Return the most guests at once: one for each CPU of the host, within limits."""
    return min(_MAX_GUESTS, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class GuestRequest:
    """Where and how guests run; None leaves it to the settings, or to the run.

    Args:
        numa: numbers of NUMA nodes: ``4``, ``1,2,4`` or ``1-8``.
        vm: a guest of ``vmconfigs/``, by its name or file, instead.
        memory: memory of each node, in MiB.
        cpus: CPUs of each node.
        backend: name of the backend.
        backend_flags: the backend's options, by ``BackendOption.name``.
        method: boot method of FreeBSD kernels: ``loader`` or ``direct``.
        accelerator: ``tcg``, ``kvm``, or ``auto``.
        until: the stage that the guest must reach.
        timeout: timeout of each boot, in seconds.
        tunables: kernel environment, by name.
        world: kind or name of the world; None: that of the run, if it needs one.
        fail_on_report: whether a report after which the kernel continues fails the boot.
        snapshot: whether guests that a command uses are restored from ready snapshots; None: if
            they have a world, whose boot takes long.
    """

    numa: str | None = None
    vm: str | None = None
    memory: int | None = None
    cpus: int | None = None
    backend: str | None = None
    backend_flags: Mapping[str, str | None] = field(default_factory=dict)
    method: str | None = None
    accelerator: str | None = None
    until: Until = Until.INIT
    timeout: float | None = None
    tunables: Mapping[str, str] = field(default_factory=dict)
    fail_on_report: bool = False
    world: str | None = None
    snapshot: bool | None = None


@dataclass(frozen=True, slots=True)
class Guests:
    """The guests of one request on one host.

    Args:
        env: the host.
        view: shows warnings about layouts.
        request: the guests.
        vm: the request's vm file; None if it names none.
    """

    env: Environment
    view: View
    request: GuestRequest
    vm: VmConfig | None

    @classmethod
    def of(cls, env: Environment, view: View, request: GuestRequest, what: KernelRequest) -> Guests:
        """Return the guests of a request; reads its vm file.

        Raises:
            UsageError: the file is missing or invalid, or the kernel cannot be booted that way.
        """
        provider = env.kernels().provider(what)
        if request.method is not None and BootMethod(request.method) not in provider.boot_methods:
            raise UsageError(
                f"--boot {request.method} cannot start {provider.title}",
                remedy="leave it out, or name a FreeBSD tree with --source",
            )
        return cls(env, view, request, named_vm(request))

    def sanitizers(self, asked: Sanitizers | None) -> Sanitizers:
        """See ``sanitizers_of``."""
        return sanitizers_of(asked, self.vm)

    def topologies(self, sanitizers: Sanitizers, default: str = "1") -> list[Topology]:
        """Return a topology for each number of nodes, or the vm file's.

        Args:
            sanitizers: the kernel's.
            default: the numbers of nodes if the request has none.

        Raises:
            UsageError: invalid numbers.
        """
        request = self.request
        if self.vm is not None:
            return [self._resized(self.vm.topology)]
        cpus, memory = request.cpus, request.memory
        with given_with("--numa"):
            counts = parse_node_counts(request.numa or default)
        with given_with(f"--cpus {cpus}") if cpus else contextlib.nullcontext():
            return [default_topology(count, sanitizers, cpus, memory) for count in counts]

    def topology(self, sanitizers: Sanitizers, kind: str, default: str = "1") -> Topology:
        """Return the topology of a run that boots one guest.

        Args:
            sanitizers: the kernel's.
            kind: the command, for the error.
            default: see ``topologies``.

        Raises:
            UsageError: invalid numbers, or several.
        """
        found = self.topologies(sanitizers, default)
        if len(found) != 1:
            also = "; harness compare takes several" if kind == "boot" else ""
            raise UsageError(
                f"--numa {self.request.numa} names several guests, and {kind} boots one",
                remedy=f"name one number{also}",
            )
        return found[0]

    def _resized(self, topology: Topology) -> Topology:
        memory, cpus = self.request.memory, self.request.cpus
        if cpus and any(node.numbers is not None for node in topology.nodes):
            raise UsageError(
                f"--cpus {cpus}: the guest of --vm {self.request.vm} numbers its CPUs",
                remedy="leave --cpus out, or change the numbers in your own vm file",
            )
        nodes = tuple(
            replace(
                node,
                cpus=cpus if cpus and node.cpus else node.cpus,
                memory_mib=memory if memory and node.memory_mib else node.memory_mib,
            )
            for node in topology.nodes
        )
        with given_with(f"--cpus {cpus}") if cpus else contextlib.nullcontext():
            return replace(topology, nodes=nodes)

    def plan(
        self,
        topology: Topology,
        sanitizers: Sanitizers,
        *,
        keep: bool = False,
        goes_on: bool = False,
        checked: bool = False,
        restored: bool = False,
    ) -> BootPlan:
        """Return the boot plan of each guest with that topology.

        Args:
            topology: the guest's.
            sanitizers: its kernel's.
            keep: leave it running.
            goes_on: the kernel continues after reports, if its sanitizers can and the request
                permits.
            checked: it is checked against a model, over its second serial port.
            restored: it may be restored from a snapshot, as its boot is not what is tested.

        Raises:
            UsageError: an option does not apply to an existing machine.
        """
        for warning in (*topology.warnings(), *memory_warnings(topology, sanitizers)):
            self.view.warn(warning)
        request, machine = self.request, self.machine
        if machine is None:
            accelerator, slowness = self._accelerator()
        else:
            _refuse_changes(machine, request, keep=keep)
            if checked:
                machine.require_channel()
            accelerator, slowness = machine.accelerator, machine.slowness
        return BootPlan(
            topology=topology,
            until=request.until,
            accelerator=accelerator,
            slowness=slowness,
            method=self._method(),
            tunables={**(sanitizers.goes_on if goes_on else {}), **request.tunables},
            timeout=request.timeout,
            keep=keep,
            fail_on_report=request.fail_on_report,
            snapshot=restored and self._wants_snapshot,
        )

    @property
    def _wants_snapshot(self) -> bool:
        wanted = self.request.snapshot
        return self.world is not None if wanted is None else wanted

    def _accelerator(self) -> tuple[Accelerator, float]:
        """Return the requested or measured accelerator, and its slowness.

        A requested TCG needs no measurement: its usual limits are long.
        """
        from harness.guest.accelerator_choice import (
            choose_accelerator,
            known_accelerator,
            slowness,
        )

        asked = self.request.accelerator or self.env.settings.boot.accelerator
        workspace = self.env.workspace
        if asked == Accelerator.TCG:
            return Accelerator.TCG, slowness(Accelerator.TCG, known_accelerator(workspace))
        choice = choose_accelerator(workspace, self.env.runner, self.env.clock)
        accelerator = choice.accelerator if asked == AUTO else Accelerator(asked)
        return accelerator, slowness(accelerator, choice)

    @property
    def machine(self) -> FixedMachine | None:
        """The existing machine of the vm file; None if the guests are created.

        With another backend than the file's, a guest with the same nodes is created.
        """
        machine = self.vm.machine if self.vm else None
        if machine is None or self.request.backend not in (None, machine.backend):
            return None
        return machine

    @property
    def world(self) -> str | None:
        """The kind or name of the guests' world; None if they need none."""
        if self.request.world is not None:
            return self.request.world
        return WorldKind.SLIM.value if self.request.until is Until.SSH else None

    def with_userland(self, what: KernelRequest) -> KernelRequest:
        """Return the kernel, with what a world needs if the guests have one."""
        return what if self.world is None else replace(what, userland=True)

    @property
    def most_at_once(self) -> int:
        """Return how many of the guests can run at once."""
        return most_guests() if self.machine is None else 1

    def _method(self) -> BootMethod:
        """Return the requested method, else the machine's first, else the settings'."""
        if self.request.method is None and self.machine is not None:
            return self.machine.methods[0]
        return BootMethod(self.request.method or self.env.settings.boot.method)

    def _backend(self) -> Backend:
        """Return the backend of the environment, the request, the machine, or the settings."""
        env, machine = self.env, self.machine
        if env.backend is not None:
            return env.backend
        name = machine.backend if machine else self.request.backend or env.settings.boot.backend
        row = find_backend(name)
        told = backend_values(row, self.request.backend_flags, env.settings)
        return row.type.make(BackendHost(env.runner, env.clock, env.workspace, told, machine))

    def booter(self) -> Booter:
        """Return what boots guests with the request's backend."""
        env = self.env
        return Booter(
            env.workspace, env.runner, env.clock, self._backend(), env.ending, logs=env.logs
        )


def _refuse_changes(machine: FixedMachine, request: GuestRequest, *, keep: bool) -> None:
    """Raise UsageError for options that do not apply to an existing machine."""
    given = {
        "--memory": request.memory, "--cpus": request.cpus,
        "--accelerator": request.accelerator,
        "--keep or a command that judges the guest": keep,
    }  # fmt: skip
    named = [name for name, value in given.items() if value]
    if named:
        raise UsageError(
            f"{machine.name} describes an existing machine, to which {named[0]} does not apply",
            remedy=f"leave {' and '.join(named)} out, or add --backend qemu for a QEMU guest "
            "with the same nodes",
        )


def sanitizers_of(asked: Sanitizers | None, vm: VmConfig | None) -> Sanitizers:
    """Return the requested sanitizers; if there are none, the vm file's."""
    if asked is not None:
        return asked
    return NONE if vm is None else vm.sanitizers


def named_vm(request: GuestRequest) -> VmConfig | None:
    """Return the vm file of a request; None if it names none.

    Raises:
        UsageError: the file is missing or invalid, or numbers of nodes are given as well.
    """
    if request.vm is None:
        return None
    if request.numa is not None:
        raise UsageError("--numa and --vm both give the guest's layout", remedy="name one of them")
    from harness.guest.vmconfig import load_vmconfig

    with given_with("--vm"):
        return load_vmconfig(request.vm)
