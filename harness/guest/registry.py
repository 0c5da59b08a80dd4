"""Registry of guests that outlive the harness.

Each guest has a directory ``guests/NAME`` in the workspace's state, with its media and
``guest.json``. That file is written before the guest is started, and names the harness process that
starts it. If that process dies before it keeps the guest, the next reader of the registry ends the
guest.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import InfraError, UsageError
from harness.guest.spec import display_name
from harness.host.jsontoml import read_object
from harness.host.processid import ProcessId, find_processes
from harness.host.sockets import SOCKET_SUFFIX
from harness.host.workspace import Workspace, make_directory, write_atomic

if TYPE_CHECKING:
    from harness.guest.backend import Whereabouts
    from harness.host.clock import Clock

LATEST: Final = "latest"

_FILE: Final = "guest.json"


@dataclass(frozen=True, slots=True)
class KeptGuest:
    """A guest that is kept, or is to be kept after its verdict.

    Args:
        name: its unique name.
        run: its run's name.
        cell: its cell in the run.
        guest: the kernel, in words.
        backend: qemu or libvirt.
        nodes: NUMA nodes.
        topology: the nodes' CPUs and memory (MiB), and the distances.
        started: time of its start, ISO 8601, UTC.
        console: its console log.
        socket: its console's socket. Only its relay's command line has this path, and only its
            QEMU's has the name made from it (``display_name``).
        owner: the harness process that boots it; None when it is kept.
        process: QEMU's process, when it is kept.
        uri: libvirt's address; empty under other backends.
        domain: the domain's name under libvirt.
        kernel: its kernel's key in the cache; debuggers need the symbols.
        world: its world's key in the cache, with the keys of SSH; empty for none.
        port: the port of the loopback address that leads to its sshd; 0 for none.
    """

    name: str
    run: str
    cell: str
    guest: str
    backend: str
    nodes: int
    topology: dict[str, Any]
    started: str
    console: Path
    socket: Path
    owner: ProcessId | None = None
    process: ProcessId | None = None
    uri: str = ""
    domain: str = ""
    kernel: str = ""
    world: str = ""
    port: int = 0

    @property
    def runs(self) -> bool:
        """Whether it is kept and still runs."""
        return self.process is not None and self.process.alive

    @property
    def entrance(self) -> Path:
        """The socket on which its relay accepts input."""
        return self.socket.with_name(self.socket.name + ".in")

    @property
    def door(self) -> Path:
        """The socket at which its monitor is lent (``harness.guest.lease``)."""
        return self.socket.with_name(self.socket.name + ".control")

    @property
    def stub(self) -> Path:
        """The socket of QEMU's gdb stub, while it is open."""
        return self.socket.with_name(self.socket.name + ".gdb")


@dataclass(slots=True)
class Claim:
    """A registry entry for a guest that is being booted.

    Args:
        guest: the guest.
        directory: its directory, for its media.
        kept: whether ``keep`` was called.
    """

    guest: KeptGuest
    directory: Path
    kept: bool = field(default=False, init=False)

    def keep(self, where: Whereabouts, port: int = 0) -> None:
        """Register the guest as kept; ``port`` leads to its sshd."""
        _write(
            self.directory,
            replace(self.guest, owner=None, process=where.process, uri=where.uri,
                    domain=where.domain, port=port),
        )  # fmt: skip
        self.kept = True


@dataclass(frozen=True, slots=True)
class Registry:
    """The kept guests of a workspace.

    Args:
        workspace: holds the registry.
        clock: measures timeouts.
    """

    workspace: Workspace
    clock: Clock

    @property
    def _directory(self) -> Path:
        return self.workspace.state / "guests"

    @contextlib.contextmanager
    def claim(self, guest: KeptGuest, owner: int) -> Iterator[Claim]:
        """Register a guest; the entry is removed at the end unless the guest was kept.

        Args:
            guest: its name gets a number if it is taken.
            owner: the process id of this harness.
        """
        with self._locked():
            self._look()
            claim = self._place(replace(guest, owner=ProcessId.of(owner)))
        try:
            yield claim
        finally:
            if not claim.kept:
                self.end(claim.guest)

    def live(self) -> list[KeptGuest]:
        """Return the running guests, oldest first; remove what is left of others."""
        with self._locked():
            found, _ = self._look()
        return sorted((guest for guest in found if guest.owner is None), key=lambda g: g.started)

    def sweep(self) -> list[str]:
        """End guests whose harness was killed before it kept them; return what was done."""
        with self._locked():
            _, done = self._look()
        return done

    def of_older_versions(self) -> list[str]:
        """Return messages about running guests that an older version of the harness kept.

        Its records identify processes without the boot of their host.
        """
        with self._locked():
            directories = sorted(self._directory.glob("[!.]*"))
            found = [
                guest for directory in directories if (guest := _read_older(directory)) is not None
            ]
        return [
            f"{guest.name} was kept by an older version of the harness and is not managed by "
            f"this one; end it: kill {' '.join(str(process.pid) for process in processes)}"
            for guest in found
            if (processes := _processes(guest))
        ]

    def find(self, name: str) -> list[KeptGuest]:
        """Return the running guests of a run, or the one of that name; ``latest`` is the newest.

        Raises:
            UsageError: there is none.
        """
        live = self.live()
        found = [guest for guest in live if name in (guest.name, guest.run)]
        if name == LATEST:
            found = live[-1:]
        if found:
            return found
        named = "" if name == LATEST else f" of the name or run {name!r}"
        names = f"running: {', '.join(guest.name for guest in live)}"
        raise UsageError(
            f"no guest{named} is running",
            remedy=names if live else "to keep one: harness boot --keep",
        )

    def end(self, guest: KeptGuest) -> None:
        """End a guest and remove its files; only the latter if it has ended.

        Raises:
            InfraError: it cannot be ended.
        """
        if guest.uri:
            from harness.guest.libvirt import destroy_domain

            destroy_domain(guest.uri, guest.domain)
        for process in _processes(guest):
            process.kill(self.clock)
        self._forget(guest)

    def _locked(self) -> contextlib.AbstractContextManager[object]:
        make_directory(self._directory)
        return self.workspace.lock("guests")

    def _place(self, guest: KeptGuest) -> Claim:
        number, name = 1, guest.name
        while (self._directory / name).exists():
            number += 1
            name = f"{guest.name}-{number}"
        claim = Claim(replace(guest, name=name), self._directory / name)
        _write(claim.directory, claim.guest)
        return claim

    def _look(self) -> tuple[list[KeptGuest], list[str]]:
        """Return the guests that are kept or being booted; remove what is left of others."""
        found, done = [], []
        for directory in sorted(self._directory.glob("[!.]*")):
            guest = _read(directory)
            if guest is None and (older := _read_older(directory)) and _processes(older):
                continue  # it runs and uses files of that directory
            if guest is None:
                _remove(directory)
                done.append(f"removed {directory}, which describes no guest")
            elif any(process and process.alive for process in (guest.owner, guest.process)):
                found.append(guest)
            elif guest.owner is None:
                self._forget(guest)
                done.append(f"removed what was left of the guest {guest.name}, which has ended")
            else:
                done.append(self._end_orphan(guest))
        return found, done

    def _end_orphan(self, guest: KeptGuest) -> str:
        try:
            self.end(guest)
        except InfraError as error:
            return f"could not end the guest {guest.name}: {error.message}"
        return f"ended the guest {guest.name}, whose harness was killed before it kept it"

    def _forget(self, guest: KeptGuest) -> None:
        for socket in (guest.entrance, guest.door, guest.stub):
            socket.unlink(missing_ok=True)
        shutil.rmtree(self._directory / guest.name, ignore_errors=True)


def _remove(directory: Path) -> None:
    """Remove a file or directory without following symbolic links."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink(missing_ok=True)
    else:
        shutil.rmtree(directory, ignore_errors=True)


def to_document(guest: KeptGuest) -> dict[str, Any]:
    """Return the guest as JSON types."""
    return json.loads(json.dumps(asdict(guest), default=str))  # type: ignore[no-any-return]


def _write(directory: Path, guest: KeptGuest) -> None:
    write_atomic(directory / _FILE, json.dumps(to_document(guest), indent=1) + "\n")


def _processes(guest: KeptGuest) -> list[ProcessId]:
    """Return its QEMU and its relay, if they run."""
    words = (str(guest.socket), display_name(guest.cell, guest.socket))
    return list(dict.fromkeys(process for word in words for process in find_processes(word)))


def _read(directory: Path) -> KeptGuest | None:
    """Read a guest's file; None if it is incomplete or names files that no guest has."""
    return _parsed(directory, lambda document: document)


def _read_older(directory: Path) -> KeptGuest | None:
    """Read a file of an older version, which lacks the boot of the host."""

    def without_processes(document: dict[str, Any]) -> dict[str, Any]:
        named = [document.get(key) for key in ("owner", "process")]
        if not any(isinstance(each, dict) and "boot" not in each for each in named):
            raise ValueError("it is not of an older version")
        return {**document, "owner": None, "process": None}

    return _parsed(directory, without_processes)


def _parsed(
    directory: Path, changed: Callable[[dict[str, Any]], dict[str, Any]]
) -> KeptGuest | None:
    from harness.host.tables import Complaint, read_table

    if directory.is_symlink() or (directory / _FILE).is_symlink():
        return None
    try:
        guest = read_table(changed(read_object(directory / _FILE)), KeptGuest)
        datetime.fromisoformat(guest.started)
    except (OSError, ValueError, Complaint):
        return None
    return guest if guest.name == directory.name and _is_genuine(guest) else None


def _is_genuine(guest: KeptGuest) -> bool:
    """Return whether its files are in the directories of guests.

    Processes are killed by the socket in their command lines, and the console is printed.
    """
    socket, console = guest.socket, guest.console
    return (
        socket.is_absolute()
        and ".." not in socket.parts
        and re.search(r"-[0-9a-f]{8}\Z", socket.stem) is not None
        and socket.suffix == SOCKET_SUFFIX
        and console.is_absolute()
        and ".." not in console.parts
        and console.parts[-3:] == (guest.run, guest.cell, "console.log")
        and not console.is_symlink()
    )
