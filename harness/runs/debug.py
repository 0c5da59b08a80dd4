"""gdb on a kept guest, or on the memory dump of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.debug.gdb import (
    DebugFiles,
    words_for_dump,
    words_for_stub,
)
from harness.debug.memorydump import DUMP_FILE
from harness.debug.stub import open_stub
from harness.errors import HarnessError, UsageError
from harness.guest.lease import lent_monitor
from harness.guest.registry import LATEST, KeptGuest, Registry
from harness.host.progress import Recorded
from harness.kernel.artifact import KernelArtifact, KernelCache
from harness.kernel.elf import source_names
from harness.results.store import Store, is_own
from harness.sanitizers import NONE
from harness.source.request import KernelRequest

if TYPE_CHECKING:
    from harness.runs.environment import Environment

#: Directories of a tree with the sources of kernels.
_KERNEL_SOURCES = "sys"


@dataclass(frozen=True, slots=True)
class DebugTarget:
    """What gdb is to work on.

    Args:
        name: the guest, or the run and its cell.
        cell: the cell of the record.
        guest: the running guest; None for a dump.
        dump: the memory dump; None for a running guest.
    """

    name: str
    cell: Mapping[str, Any]
    guest: KeptGuest | None = None
    dump: Path | None = None


def find_target(env: Environment, name: str, cell: str | None = None) -> DebugTarget:
    """Return the running guest or the memory dump of a run.

    A running guest is preferred. ``latest`` is the newest run if it has one of them, else the guest
    that was kept last.

    Args:
        env: the host.
        name: the name of a run or of a kept guest, or ``latest``.
        cell: the cell; None: the only one.

    Raises:
        UsageError: there is none, or there are several.
    """
    store = Store(env.runs)
    live = Registry(env.workspace, env.clock).live()
    run = name
    if name == LATEST and store.names():
        run = store.names()[-1]
    targets = _targets(store, live, run, cell)
    if not targets and name == LATEST and live:
        targets = _targets(store, live, live[-1].name, cell)
    if len(targets) == 1:
        return targets[0]
    if targets:
        named = ", ".join(target.cell["name"] for target in targets)
        raise UsageError(
            f"{run} has {len(targets)} guests or memory dumps",
            remedy=f"name one of its cells with --cell: {named}",
        )
    if name not in (LATEST, *(guest.name for guest in live)):
        store.find(name)  # raises if there is no such run
    raise UsageError(
        f"{run} has neither a running guest nor a memory dump"
        + (f" of cell {cell}" if cell else ""),
        remedy="boot with --keep, which leaves a guest running, or with --dump",
    )


def _targets(
    store: Store, live: Sequence[KeptGuest], name: str, cell: str | None
) -> list[DebugTarget]:
    guests = [
        guest for guest in live if name in (guest.name, guest.run) and cell in (None, guest.cell)
    ]
    if guests:
        return [
            DebugTarget(guest.name, _cell_of(Store(guest.console.parents[2]), guest), guest)
            for guest in guests
        ]
    if name not in store.names():
        return []
    directory = store.find(name)
    cells = [each for each in store.load(name)["cells"] if cell in (None, each["name"])]
    dumps = [(each, directory / each["name"] / DUMP_FILE) for each in cells]
    return [
        DebugTarget(f"{name} {each['name']}", each, dump=dump)
        for each, dump in dumps
        if is_own(dump)
    ]


def _cell_of(store: Store, guest: KeptGuest) -> Mapping[str, Any]:
    cells = store.load(guest.run)["cells"]
    return next((each for each in cells if each["name"] == guest.cell), {"name": guest.cell})


@dataclass(frozen=True, slots=True)
class ForegroundDebugger:
    """Shows gdb to the user; see ``PanicDebugger``.

    Args:
        env: the host.
        announce: called before gdb is started.
        note: called with messages.
    """

    env: Environment
    announce: Callable[[], None]
    note: Callable[[str], None]

    def debug(self, kernel: KernelArtifact, subsystem: str, stub: Path) -> str:
        """See ``PanicDebugger``."""
        with _sources(self.env, kernel, self.note) as sources:
            self.announce()
            files = DebugFiles.of(kernel, subsystem, sources)
            self.env.runner.run_in_foreground(words_for_stub(files, stub, ()))
        return ""


def debug(
    env: Environment,
    target: DebugTarget,
    arguments: Sequence[str],
    run: Callable[[Sequence[str]], int],
    note: Callable[[str], None] = lambda _: None,
) -> int:
    """Run gdb on a target, and return what ``run`` returns.

    A guest is stopped while gdb is connected, and runs on afterwards, however this process ends.

    Args:
        env: the host.
        target: the guest or the dump.
        arguments: more arguments of gdb.
        run: runs gdb's command.
        note: called with messages.

    Raises:
        UsageError: the kernel's files are gone, or another process uses the guest's monitor.
        InfraError: QEMU refuses, or a program is missing.
    """
    kernel = _kernel_of(env, target)
    check = target.cell.get("check") or {}
    with _sources(env, kernel, note) as sources:
        files = DebugFiles.of(kernel, check.get("subsystem", ""), sources)
        if target.dump is not None:
            return run(words_for_dump(files, target.dump, arguments))
        if target.guest is None:
            raise ValueError(f"{target.name} is neither a guest nor a dump")
        with lent_monitor(target.guest, env.clock) as monitor:
            open_stub(monitor, target.guest.stub)
            return run(words_for_stub(files, target.guest.stub, arguments))


def _kernel_of(env: Environment, target: DebugTarget) -> KernelArtifact:
    """Return the kernel of a target, from the cache or the user's own file."""
    identity = target.cell.get("kernel") or {}
    key = identity.get("key") or (target.guest.kernel if target.guest else "")
    damaged: list[str] = []
    found = KernelCache(env.workspace).find(key, damaged.append) if key else None
    file = Path(identity.get("source", ""))
    if found is None and file.is_file():
        what = KernelRequest(str(file), kernel=file)
        found = env.kernels().provide(what, NONE, Recorded())
    if found is None or found.identity.key != key:
        raise UsageError(
            f"the kernel of {target.name} is no longer in the cache, so its symbols are missing"
            + (f" ({damaged[0]})" if damaged else ""),
            remedy="boot it again; harness gc removes the least recently used kernels",
        )
    return found


@contextlib.contextmanager
def _sources(
    env: Environment, kernel: KernelArtifact, note: Callable[[str], None]
) -> Iterator[Path | None]:
    """Yield a directory with the sources that the kernel was built from; None if they are gone."""
    identity = kernel.identity
    with contextlib.ExitStack() as held:
        directory = None
        if identity.source_roots and identity.tree:
            try:
                directory = _checked_out(env, kernel, held)
            except HarnessError as error:
                note(f"the sources of {identity.label} are not found: {error.message}")
        yield directory


def _checked_out(env: Environment, kernel: KernelArtifact, held: contextlib.ExitStack) -> Path:
    """Return the tree's checkout if it has these sources, else a temporary one."""
    identity = kernel.identity
    tree = env.open_tree(identity.source)
    if tree.is_checked_out(identity.tree):
        return tree.checkout_directory
    directory = held.enter_context(env.workspace.scratch("sources"))
    names = source_names(kernel.debug)
    tree.write_named(f"{identity.tree}:{_KERNEL_SOURCES}", names, directory / _KERNEL_SOURCES)
    return directory
