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
from harness.host.documents import read_object
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
    """A guest that is kept, or is to be once its verdict is there.

    Args:
        name: its own among the kept.
        run: the record that it belongs to.
        cell: which of the record's.
        guest: what was booted, in words.
        backend: qemu or libvirt.
        nodes: NUMA nodes.
        topology: the nodes' CPUs and memory (MiB), and the distances.
        started: ISO 8601, UTC.
        console: the log of its console.
        socket: of its console; it stands in its relay's command line, a name made from it in its
            QEMU's (``display_name``), and in no other.
        owner: the harness that boots it; None when it is kept.
        process: QEMU's, when it is kept.
        uri: libvirt's address, under libvirt.
        domain: libvirt's name for it.
        kernel: the key of its kernel in the cache, whose symbols a debugger needs.
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

    @property
    def runs(self) -> bool:
        """Whether it is kept and has not ended."""
        return self.process is not None and self.process.alive

    @property
    def entrance(self) -> Path:
        """Where its relay listens for whoever types."""
        return self.socket.with_name(self.socket.name + ".in")


@dataclass(slots=True)
class Claim:
    """A place in the registry for a guest that is being booted.

    Args:
        guest: what is known of it.
        directory: the place, for what the guest boots from.
        kept: whether ``keep`` was called.
    """

    guest: KeptGuest
    directory: Path
    kept: bool = field(default=False, init=False)

    def keep(self, where: Whereabouts) -> None:
        """The guest was left, and is there."""
        _write(
            self.directory,
            replace(self.guest, owner=None, process=where.process, uri=where.uri,
                    domain=where.domain),
        )  # fmt: skip
        self.kept = True


@dataclass(frozen=True, slots=True)
class Registry:
    """The kept guests of a workspace.

    Args:
        workspace: whose.
        clock: measures how long a guest takes to end.
    """

    workspace: Workspace
    clock: Clock

    @property
    def _directory(self) -> Path:
        return self.workspace.state / "guests"

    @contextlib.contextmanager
    def claim(self, guest: KeptGuest, owner: int) -> Iterator[Claim]:
        """A place for a guest; gone afterwards unless it was kept.

        Args:
            guest: its name gets a number if another has it.
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
        """Those that run, oldest first; what is left of others is removed."""
        with self._locked():
            found, _ = self._look()
        return sorted((guest for guest in found if guest.owner is None), key=lambda g: g.started)

    def sweep(self) -> list[str]:
        """End guests whose harness was killed before it kept them; says what was done."""
        with self._locked():
            _, done = self._look()
        return done

    def of_older_versions(self) -> list[str]:
        """Guests that run, but whose records do not say so in a way that holds; in words.

        Before processes were told apart by the boot of their host, a step of the clock lost them.
        """
        with self._locked():
            directories = sorted(self._directory.glob("[!.]*"))
            found = [
                guest for directory in directories if (guest := _read_older(directory)) is not None
            ]
        return [
            f"{guest.name} was kept by an older version of the harness, and this one does not look "
            f"after it; end it: kill {' '.join(str(process.pid) for process in processes)}"
            for guest in found
            if (processes := _processes(guest))
        ]

    def find(self, name: str) -> list[KeptGuest]:
        """The live ones of a run, or the one of that name; ``latest`` is the newest.

        Raises:
            UsageError: there is none.
        """
        live = self.live()
        found = [guest for guest in live if name in (guest.name, guest.run)]
        if name == LATEST:
            found = live[-1:]
        if found:
            return found
        known = ", ".join(guest.name for guest in live) or "none"
        raise UsageError(
            f"no guest that was kept is called {name!r}, nor is there one of such a run",
            remedy=f"those that run: {known}; harness boot --keep leaves one running",
        )

    def end(self, guest: KeptGuest) -> None:
        """End it and remove what is left of it; no harm if it has ended.

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
        """All that are kept or being booted, and what was done to remove what is left of others."""
        found, done = [], []
        for directory in sorted(self._directory.glob("[!.]*")):
            guest = _read(directory)
            if guest is None and (older := _read_older(directory)) and _processes(older):
                continue  # it runs, from files of that directory
            if guest is None:
                _remove(directory)
                done.append(f"removed {directory}, which tells of no guest")
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
        guest.entrance.unlink(missing_ok=True)
        shutil.rmtree(self._directory / guest.name, ignore_errors=True)


def _remove(directory: Path) -> None:
    """What a symbolic link leads to stays."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink(missing_ok=True)
    else:
        shutil.rmtree(directory, ignore_errors=True)


def to_document(guest: KeptGuest) -> dict[str, Any]:
    """The guest as JSON's types."""
    return json.loads(json.dumps(asdict(guest), default=str))  # type: ignore[no-any-return]


def _write(directory: Path, guest: KeptGuest) -> None:
    write_atomic(directory / _FILE, json.dumps(to_document(guest), indent=1) + "\n")


def _processes(guest: KeptGuest) -> list[ProcessId]:
    """Its QEMU and its relay, as far as they run."""
    words = (str(guest.socket), display_name(guest.cell, guest.socket))
    return list(dict.fromkeys(process for word in words for process in find_processes(word)))


def _read(directory: Path) -> KeptGuest | None:
    """None if it is not there whole, or names files that no guest has."""
    return _parsed(directory, lambda document: document)


def _read_older(directory: Path) -> KeptGuest | None:
    """The same of a record that names its processes without the boot of their host."""

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
    """Whether its files are such as guests have.

    Processes are ended by the socket in their command lines, and the console is printed.
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
