"""Ready snapshots: guests saved once they are up, and started again from there.

A snapshot has the memory of each node, the state of the devices, and the overlay of the disk. Its
key covers all that it depends on. A guest that is restored from it renews its clock, its random
numbers and its nonce, and reports again: nothing that its saved boot has proven counts for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.arch import GUEST
from harness.boot.restoring import NotRestoredError
from harness.check.protocol import line
from harness.errors import InfraError
from harness.host.cachesize import remove, trim
from harness.host.inuse import claimed, in_use
from harness.host.programs import require_program
from harness.host.sealedstore import DamageError, check, store
from harness.host.sharedmemory import share_memory, unpack_memory
from harness.host.workspace import unique
from harness.image.key import content_key
from harness.image.media import DirectKernel, EfiDirectory

if TYPE_CHECKING:
    from harness.guest.backend import Backend
    from harness.guest.devices import GuestDisk
    from harness.guest.serialtap import SerialPort
    from harness.guest.spec import GuestSpec
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.kernel.artifact import KernelArtifact

STATE: Final = "state"
DISK: Final = "disk"
DESCRIPTION: Final = "snapshot.json"
"""Files of a snapshot, beside those of ``memory_name``."""

SNAPSHOTS: Final = "snapshots"
"""The directory in the cache."""

_FORMAT: Final = "2"
"""Incremented when older snapshots cannot be used."""

_MIB: Final = 1 << 20
_SEED_BYTES: Final = 32


def memory_name(node: int) -> str:
    """Return the name of the file with a node's memory."""
    return f"memory{node}"


def snapshot_key(
    spec: GuestSpec, kernel: KernelArtifact, tunables: Mapping[str, str], more: tuple[str, ...],
    backend: Backend,
) -> str:  # fmt: skip
    """Return the key of the guest's snapshot: equal keys mean equal guests, once they are up.

    Args:
        spec: the guest.
        kernel: its kernel.
        tunables: the kernel environment, without the nonce.
        more: keys of all else that runs in it.
        backend: what starts it.
    """
    programs = [Path(require_program(GUEST.program)), *([spec.firmware] if spec.firmware else [])]
    files = sorted(f"{seal.name} {seal.sha256}" for seal in kernel.identity.files)
    if not files:
        files = [hashlib.sha256(kernel.kernel.read_bytes()).hexdigest()]
    values = (f"{name}={value}" for name, value in sorted(tunables.items()))
    words = (_FORMAT, backend.describe(_without_paths(spec)), *files, *values, *more)
    return content_key(programs, words, [])


def _without_paths(spec: GuestSpec) -> GuestSpec:
    """Return the same machine with the paths, and names, that each boot has its own of."""
    port = Path("/port")
    direct = isinstance(spec.media, DirectKernel)
    media = Path("/media")
    return replace(
        spec, name="guest", console_socket=port, identity=None, saved=None,
        serial_sockets=(port,) * len(spec.serial_sockets),
        media=DirectKernel(media) if direct else EfiDirectory(media),
        disks=tuple(_without_path(disk) for disk in spec.disks),
        ram={number: number for number in range(len(spec.topology.nodes))},
    )  # fmt: skip


def _without_path(disk: GuestDisk) -> GuestDisk:
    backing = _without_path(disk.backing) if disk.backing else None
    return replace(disk, path=Path("/disk"), backing=backing)


@dataclass(frozen=True, slots=True)
class ReadySnapshot:
    """A snapshot in the cache, verified."""

    key: str
    directory: Path


@dataclass(frozen=True, slots=True)
class SnapshotCache:
    """The cache of snapshots, by key."""

    workspace: Workspace
    limit: int

    def directory(self, key: str) -> Path:
        """Return the directory of a snapshot."""
        return self.workspace.cache / SNAPSHOTS / key

    @contextmanager
    def opened(self, key: str, progress: Progress) -> Iterator[ReadySnapshot | None]:
        """Yield a snapshot, which stays while the context lasts; None if there is none.

        One that is damaged is removed, with a note.
        """
        directory = self.directory(key)
        with ExitStack() as held:
            try:
                held.enter_context(in_use(directory))
                check(directory, self.workspace.verified)
            except DamageError as damage:
                held.close()
                progress.note(f"{damage.message}; the guest is booted, and saved again")
                self.discard(key)
            except (InfraError, FileNotFoundError):
                pass  # there is none, or it was just removed
            else:
                yield ReadySnapshot(key, directory)
                return
            yield None

    def discard(self, key: str) -> None:
        """Remove a snapshot, unless it is in use."""
        directory = self.directory(key)
        doomed = directory.with_name(f".{key}.{unique()}")
        with claimed(directory) as free, contextlib.suppress(FileNotFoundError):
            if free:
                directory.rename(doomed)
                remove(doomed)

    def store(self, key: str, files: Mapping[str, Path], description: Mapping[str, Any]) -> None:
        """Store copies of a snapshot's files; the oldest are removed beyond the limit.

        Raises:
            InfraError: the disk is full, or a file cannot be written.
        """
        text = json.dumps({"key": key, **description}, indent=1) + "\n"
        store(self.directory(key), files, {DESCRIPTION: text})
        trim(self.workspace, "snapshot", self.limit)


@contextmanager
def shared_ram(spec: GuestSpec) -> Iterator[GuestSpec]:
    """Yield the guest with memory that this process shares; QEMU keeps it beyond the context.

    Raises:
        InfraError: the host has no such memory.
    """
    with ExitStack() as held:
        ram = {}
        for number, node in enumerate(spec.topology.nodes):
            if not node.memory_mib:
                continue
            try:
                ram[number] = share_memory(f"node{number}", node.memory_mib * _MIB)
            except OSError as error:
                raise InfraError(
                    f"cannot allocate {node.memory_mib} MiB for a guest: {error.strerror}",
                    remedy="--no-snapshot boots it with memory of QEMU's own",
                ) from error
            held.callback(os.close, ram[number])
        yield replace(spec, ram=ram)


def restored(spec: GuestSpec, snapshot: ReadySnapshot) -> GuestSpec:
    """Fill the guest's shared memory and its disk; return the guest that starts from there.

    Raises:
        NotRestoredError: the snapshot cannot be read, or is of another guest.
    """
    try:
        for node, descriptor in spec.ram.items():
            unpack_memory(snapshot.directory / memory_name(node), descriptor)
        for disk in spec.disks[:1]:
            disk.path.unlink()
            shutil.copyfile(snapshot.directory / DISK, disk.path)
    except (OSError, ValueError) as error:
        raise NotRestoredError(f"snapshot {snapshot.directory}: {error}") from error
    return replace(spec, saved=snapshot.directory / STATE)


def renew(channel: SerialPort, nonce: str, clock: Clock) -> None:
    """Send a restored guest its time, seed and nonce; it reports on the console.

    It has not run anything else: it finds the command when it is continued.
    """
    channel.read(0)  # accepts the connection; what is sent before is lost
    seconds = int(clock.now().timestamp())
    fields = f"nonce={nonce.encode().hex()} time={seconds} seed={os.urandom(_SEED_BYTES).hex()}"
    channel.write(b"\n" + line(1, f"renew {fields}"))
