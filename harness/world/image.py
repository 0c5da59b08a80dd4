"""Disk images of worlds, and their cache."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.host.jsontoml import read_object
from harness.host.sandbox import Sandbox
from harness.host.sealedstore import DamageError, check, store, stored_at
from harness.host.workspace import make_directory, write_atomic
from harness.image.assemble import init_key, init_program
from harness.source.revision import combined_hash
from harness.world.config import Services
from harness.world.layout import (
    OwnFile,
    own_digest,
    own_directories,
    own_files,
    script_modes,
    started,
)

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.workspace import Workspace
    from harness.world.metalog import Metalog

DISK: Final = "disk.qcow2"
"""The image: a UFS file system without a partition table, unless it was imported."""

HOST_KEY: Final = "host_key.pub"
"""The public key of the image's sshd."""

KEY: Final = "key"
"""The private key that root of the image accepts."""

IMPORTED: Final = "imported"
"""The kind of worlds that were made elsewhere."""

_IDENTITY: Final = "world.json"

_FREE_MIB: Final = 512
"""Room for what a guest writes; it is kept for no other run."""

_INODES: Final = 40_000
"""sys/kern's tests need more than 3,000."""


@dataclass(frozen=True, slots=True)
class WorldIdentity:
    """What a world was built from; part of every record of a guest with it.

    Args:
        key: key in the cache.
        source: the tree, as the user named it.
        label: short name of the revision.
        commit: the revision; None if there is none.
        tree: git's hash of all files that were checked out.
        dirty: whether it contains uncommitted changes.
        overlaid: paths of files that came from the user's overlay.
        release: the release, such as 15.1-RELEASE-p1.
        kind: ``slim``, ``tests``, ``full``, or ``imported``.
        suites: its suites, as directories of the tree.
        services: ``few`` or ``all``.
        compiler: the first line of the compiler's ``--version``.
        scripts: the scripts of /etc/rc.d that are executable; none are known of an imported one.
        partition: the suffix of the name of its root partition, such as ``p4``; empty if the file
            system fills the disk.
    """

    key: str
    source: str
    label: str
    commit: str | None
    tree: str
    dirty: bool
    overlaid: tuple[str, ...]
    release: str
    kind: str
    suites: tuple[str, ...]
    services: str
    compiler: str
    scripts: tuple[str, ...] = ()
    partition: str = ""

    def document(self) -> dict[str, Any]:
        """Return the identity as a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class World:
    """A world's image.

    Args:
        identity: what it was built from.
        directory: its directory in the cache.
    """

    identity: WorldIdentity
    directory: Path

    @property
    def disk(self) -> Path:
        """The image, in QEMU's format qcow2; it is never written."""
        return self.directory / DISK

    @property
    def key(self) -> Path:
        """The private key with which root logs in."""
        return self.directory / KEY

    @property
    def host_key(self) -> str:
        """The public key of its sshd: type and base64."""
        return (self.directory / HOST_KEY).read_text("ascii").strip()


class WorldCache:
    """The cache of worlds, by key."""

    def __init__(self, workspace: Workspace) -> None:
        self._directory = workspace.cache / "worlds"
        self._verified = workspace.verified

    def find(self, key: str) -> World | None:
        """Return the world with a key, verified; None if there is none or it is damaged."""
        directory = self._directory / key
        try:
            check(directory, self._verified)
            return World(_read_identity(directory / _IDENTITY), directory)
        except (FileNotFoundError, DamageError, OSError, ValueError, KeyError, TypeError):
            return None

    def identities(self) -> list[WorldIdentity]:
        """Return the identities of all worlds, the newest first, without reading the images."""
        paths = sorted(self._directory.glob("[!.]*"), key=stored_at, reverse=True)
        found = []
        for path in paths:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                identity = _read_identity(path / _IDENTITY)
                found += [identity] if identity.key == path.name else []
        return found

    def all(self) -> list[World]:
        """Return all worlds, the newest first; damaged ones are left out."""
        worlds = (self.find(identity.key) for identity in self.identities())
        return [world for world in worlds if world is not None]

    def store(self, identity: WorldIdentity, files: Mapping[str, Path]) -> World:
        """Store copies of a world's files.

        Raises:
            InfraError: a file cannot be written.
        """
        directory = self._directory / identity.key
        store(directory, files, {_IDENTITY: json.dumps(identity.document(), indent=1) + "\n"})
        (directory / KEY).chmod(0o600)
        return World(identity, directory)


def image_digest() -> str:
    """Return a hash of all that an image depends on beside the installed world."""
    return combined_hash((own_digest(), init_key(), _MAKE))


def make_image(
    identity: WorldIdentity, root: Path, metalog: Metalog, workspace: Workspace, runner: Runner,
    *, sandboxed: bool = True,
) -> World:  # fmt: skip
    """Make the image of an installed world, with keys of its own, and store it.

    Args:
        identity: what it was built from.
        root: the directory of the installed files; ours are copied into it.
        metalog: the installed files.
        workspace: the workspace of the cache.
        runner: starts programs.
        sandboxed: whether what reads the installed files runs in the builds' sandbox.

    Raises:
        BuildError: what was installed cannot be put into an image.
        InfraError: a program is missing or failed, or the disk is full.
    """
    with workspace.scratch("world") as scratch:
        reporter = init_program(workspace, runner)
        host_key, key = (new_key(scratch / name) for name in ("host_key", KEY))
        files = own_files(reporter, host_key, public_file(key))
        metalog.add([*own_directories(), *(file.entry for file in files)])
        metalog.add(script_modes(list(metalog.entries), Services(identity.services)))
        _lay_out(files, scratch / "ours")
        write_atomic(scratch / "files.mtree", metalog.text())
        raw = scratch / "out" / "disk.raw"
        make_directory(raw.parent)
        paths = (root, scratch / "ours", scratch / "files.mtree", raw)
        words: list[str | Path] = ["sh", "-ec", _MAKE, "sh", *paths]
        if sandboxed:
            words = Sandbox((scratch,), (root, raw.parent)).words(words, raw.parent)
        runner.run(words)
        disk = scratch / DISK
        runner.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk])
        identity = replace(identity, scripts=started(metalog.entries))
        kept = {DISK: disk, HOST_KEY: public_file(host_key), KEY: key}
        return WorldCache(workspace).store(identity, kept)


#: The kernel refuses Debian's UFS2. Blocks of makefs's default size, 8 KiB, take more requests of
#: the disk, each with interrupts, and wakeups of the other CPUs.
_MAKE: Final = f"""\
cp -R "$2/." "$1/"
size=$(du -sm "$1" | cut -f 1)
exec makefs -t ffs -o version=1,bsize=32768,fsize=4096 -f {_INODES} \\
    -s "$((size + size / 8 + {_FREE_MIB}))m" -N "$1/etc" -F "$3" "$4" "$1"
"""


def new_key(path: Path) -> Path:
    """Write a new key to a file, and its public line beside it; return the file."""
    from harness.shell.ssh.keys import make_key

    key = make_key()
    key.write(path)
    write_atomic(public_file(path), f"{key.public}\n")
    return path


def public_file(path: Path) -> Path:
    """Return the file with the public line of a key."""
    return path.with_name(f"{path.name}.pub")


def _lay_out(files: tuple[OwnFile, ...], directory: Path) -> None:
    for file in files:
        target = directory / file.entry.path
        make_directory(target.parent)
        shutil.copyfile(file.source, target)


def _read_identity(path: Path) -> WorldIdentity:
    data = read_object(path)
    for name in ("overlaid", "suites", "scripts"):
        data[name] = tuple(data[name])
    return WorldIdentity(**data)
