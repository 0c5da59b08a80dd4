"""A worker of a group on this host: what it announces, and what it starts for each cell."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import InfraError, UsageError
from harness.group.placement import HostOffer
from harness.group.version import harness_version, installed_state
from harness.group.worker import Worker, WorkerHost
from harness.guest.accelerator_choice import choose_accelerator
from harness.history.migrate import newest_schema
from harness.host.accelerator import Accelerator
from harness.host.ledger import usual_name
from harness.host.memory import available_memory
from harness.kernel.artifact import KernelCache
from harness.runs.replicas import Replicas

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from harness.history.url import DatabaseUrl
    from harness.runs.environment import Environment
    from harness.runs.view import View

#: Characters of a host's name at most.
_LONGEST: Final = 100


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """What a worker is to do.

    Args:
        url: the group's database, with the worker's role.
        program: the program of its cells, which is given the directory of one.
        name: name of the host; None: this host's own.
        cores: cores for the group; None: all of this host.
        memory: bytes for the group; None: what is available now.
        commands: whether it runs commands of plans on this host, outside the sandbox.
    """

    url: DatabaseUrl
    program: Sequence[str]
    name: str | None = None
    cores: float | None = None
    memory: int | None = None
    commands: bool = False


def work(request: WorkRequest, env: Environment, view: View, leaving: threading.Event) -> str:
    """Work for a group until ``leaving`` is set and all cells have ended; return the host's name.

    Raises:
        UsageError: the group refuses this host, or its name is not fit.
        InfraError: the server does not answer, another worker of this name runs here, or QEMU is
            missing.
    """
    offer = offer_of(request, env)
    lock = f"worker-{_place(request.url, offer.name)}"
    with env.workspace.lock(lock, _refuse_second(offer.name)):
        host = WorkerHost(
            request.url, offer, harness_version(), newest_schema(), installed_state(),
            worker_directory(env, request.url, offer.name), request.program, dict(os.environ),
            lambda: [*KernelCache(env.workspace).keys(), *Replicas(env.workspace).keys()],
        )  # fmt: skip
        Worker(host, env.runner, env.clock, view.note, leaving).run()
    return offer.name


def offer_of(request: WorkRequest, env: Environment) -> HostOffer:
    """Return what this host offers, by measurement where the user gave nothing.

    Raises:
        UsageError: the name is not fit for a host.
        InfraError: QEMU is missing.
    """
    name = request.name or usual_name()
    if not name.isprintable() or "/" in name or not 0 < len(name) <= _LONGEST:
        raise UsageError(
            f"{name!r} cannot be the name of a host", remedy="give it another: --name NAME"
        )
    chosen = choose_accelerator(env.workspace, env.runner, env.clock).accelerator
    return HostOffer(
        name,
        request.cores or float(os.cpu_count() or 1),
        request.memory or available_memory(),
        GUEST.name,
        frozenset({Accelerator.TCG.value, chosen.value}),
        builds=True,
        commands=request.commands,
    )


def worker_directory(env: Environment, url: DatabaseUrl, name: str) -> Path:
    """Return the directory of the cells of a host in a group."""
    return env.workspace.state / "group" / _place(url, name)


def cell_environment(env: Environment) -> Environment:
    """Return the environment of a cell, whose record names the command of a night."""
    return replace(env, command=("nightly", "run"))


def _place(url: DatabaseUrl, name: str) -> str:
    return f"{hashlib.sha256(url.label.encode()).hexdigest()[:8]}-{name}"


def _refuse_second(name: str) -> Callable[[str], None]:
    def refuse(holder: str) -> None:
        raise InfraError(
            f"a worker of the host {name} is running, in process {holder}",
            remedy="end it, or give this one another name: --name NAME",
        )

    return refuse
