"""Kernels and worlds that other hosts of a group made: what they may be, and where they are kept.

They are kept by what they contain, apart from what this host built itself: a key of the cache says
what a kernel was built from, which another host can only claim. Whoever names one names all its
files by size and SHA-256, so that nothing else is ever booted in its place.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import msgspec

from harness.arch import GUEST
from harness.errors import UsageError
from harness.group.files import WrongFileError
from harness.host.cachesize import trim
from harness.host.inuse import in_use
from harness.host.seal import Seal
from harness.host.sealedstore import DamageError, check, store
from harness.host.tables import Complaint, Table, read_table
from harness.kernel.artifact import (
    DEBUG,
    KERNEL,
    LOADER,
    KernelArtifact,
    KernelCache,
    KernelIdentity,
    artifact_in,
)
from harness.kernel.elf import content_digest
from harness.kernel.elftables import ElfError, ElfTables, FileType
from harness.kernel.module import modules_among
from harness.kernel.treemodule import tree_modules_among
from harness.sanitizers import parse_sanitizers
from harness.world.image import DISK, HOST_KEY, KEY, World, WorldCache, WorldIdentity

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

KIND: Final = "replica"
"""The kind of such entries in the cache."""

#: Bytes that they have in the cache at most; the least recently used ones are removed.
_LIMIT: Final = 8 << 30

_MIB: Final = 1 << 20

#: Bytes of each file at most. A kernel's are those of 15.1 with KMSAN, four times.
_SIZES: Final = {
    KERNEL: 256 * _MIB, DEBUG: 512 * _MIB, LOADER: 16 * _MIB, DISK: 2000 * _MIB,
    HOST_KEY: 4096, KEY: 16384,
}  # fmt: skip
_MODULE: Final = 64 * _MIB

#: Files of a kernel or a world at most.
_FILES: Final = 64

_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

#: How files begin: a program of UEFI, an image of QEMU's format qcow2.
_BEGINNINGS: Final = {LOADER: b"MZ", DISK: b"QFI\xfb"}

#: Characters of a text of an identity at most.
_TEXT: Final = 4096


class KernelReplica(Table, frozen=True, kw_only=True):
    """A kernel of a group."""

    artifact: str
    """Digest of its code and data."""
    identity: dict[str, Any]
    """``KernelIdentity`` as a JSON document, without its files."""
    files: tuple[Seal, ...]

    @classmethod
    def of(cls, kernel: KernelArtifact) -> KernelReplica:
        """Return what a host that has built a kernel reports of it."""
        document = {**kernel.identity.document(), "files": ()}
        seals = tuple(seal for _, seal in kernel.sealed())
        return cls(artifact=content_digest(kernel), identity=document, files=seals)

    @property
    def key(self) -> str:
        """The key of what it was built from."""
        return str(self.identity.get("key", ""))

    def checked(self) -> KernelIdentity:
        """Return its identity.

        Raises:
            UsageError: it cannot be a kernel.
        """
        names = [seal.name for seal in self.files]
        modules = {*modules_among(names).values(), *tree_modules_among(names).values()}
        _check_seals(self.files, {KERNEL, DEBUG, LOADER, *modules}, KERNEL)
        identity = _identity(self.identity)
        if not re.fullmatch(r"[0-9a-f]{40}", identity.key, re.ASCII):
            raise UsageError(f"{identity.key[:60]!r} is not the key of a kernel")
        return identity


class WorldReplica(Table, frozen=True, kw_only=True):
    """A world of a group."""

    identity: WorldIdentity
    files: tuple[Seal, ...]

    @classmethod
    def of(cls, world: World, workspace: Workspace) -> WorldReplica:
        """Return what a host that has a world reports of it."""
        seals = check(world.directory, workspace.verified)
        return cls(
            identity=world.identity,
            files=tuple(seal for name, seal in seals.items() if name in (DISK, HOST_KEY, KEY)),
        )

    def checked(self) -> WorldIdentity:
        """Return its identity.

        Raises:
            UsageError: it cannot be a world.
        """
        _check_seals(self.files, {DISK, HOST_KEY, KEY}, DISK)
        return self.identity


@dataclass(frozen=True, slots=True)
class Replicas:
    """The kernels and worlds of a group on this host.

    Args:
        workspace: holds the cache.
    """

    workspace: Workspace

    @property
    def directory(self) -> Path:
        """Where they are; files that are being fetched begin with a dot."""
        return self.workspace.cache / f"{KIND}s"

    def keys(self) -> list[str]:
        """Return the names of all, as ``replica_key`` gives them."""
        return sorted(path.name for path in self.directory.glob("[!.]*"))

    def kernel(self, wanted: KernelReplica) -> KernelArtifact | None:
        """Return a kernel that this host built, or was sent; None if it has none.

        Raises:
            UsageError: it cannot be a kernel.
        """
        identity = wanted.checked()
        own = KernelCache(self.workspace).find(identity.key, lambda _: None)
        names = {seal.name for seal in wanted.files}
        if (
            own is not None
            and names <= own.paths().keys()
            and content_digest(own) == wanted.artifact
        ):
            return replace(own, identity=replace(identity, files=own.identity.files))
        seals = self._checked(wanted.files)
        if seals is None:
            return None
        found = artifact_in(self._path(wanted.files), identity, seals)
        return found if content_digest(found) == wanted.artifact else None

    def world(self, wanted: WorldReplica) -> World | None:
        """Return a world that this host built, or was sent; None if it has none.

        Raises:
            UsageError: it cannot be a world.
        """
        identity = wanted.checked()
        own = WorldCache(self.workspace).find(identity.key)
        if own is not None and set(WorldReplica.of(own, self.workspace).files) == set(wanted.files):
            return own
        if self._checked(wanted.files) is None:
            return None
        return World(identity, self._path(wanted.files))

    def files(self, wanted: KernelReplica | WorldReplica) -> list[tuple[Path, Seal]] | None:
        """Return the very files of a kernel or a world, to be sent; None if they are not here.

        Raises:
            UsageError: it cannot be one.
        """
        found = self.kernel(wanted) if isinstance(wanted, KernelReplica) else self.world(wanted)
        if found is None:
            return None
        if isinstance(found, World):
            return [(found.directory / seal.name, seal) for seal in wanted.files]
        paths, own = found.paths(), {seal.name: seal for seal in found.identity.files}
        if any(own.get(seal.name) != seal for seal in wanted.files):
            return None
        return [(paths[seal.name], seal) for seal in wanted.files]

    def receive(
        self, wanted: KernelReplica | WorldReplica, fetch: Callable[[Seal], Path]
    ) -> None:  # fmt: skip
        """Take the files of a kernel or a world, unless they are here.

        Args:
            wanted: what it must be.
            fetch: returns one of its files, whole and checked, in ``directory``.

        Raises:
            UsageError: it cannot be one.
            WrongFileError: a file is not of the type that its name says.
            InfraError: a file cannot be fetched or written.
        """
        wanted.checked()
        with self.workspace.lock(f"{KIND}-{replica_key(wanted.files)}"):
            if self._checked(wanted.files) is not None:
                return
            fetched = {}
            for seal in wanted.files:
                path = fetched[seal.name] = fetch(seal)
                wrong = _wrong_type(path, seal.name)
                if wrong:
                    path.unlink()
                    raise WrongFileError(f"{seal.name} is {wrong}")
            target = self._path(wanted.files)
            store(target, fetched, {})
            for path in fetched.values():
                path.unlink(missing_ok=True)
            if KEY in fetched:
                (target / KEY).chmod(0o600)
            with in_use(target):
                trim(self.workspace, KIND, _LIMIT)

    def _path(self, files: Iterable[Seal]) -> Path:
        return self.directory / replica_key(files)

    def _checked(self, files: Iterable[Seal]) -> Mapping[str, Seal] | None:
        """Return the seals of files that were received; None if they are missing or damaged."""
        wanted = {seal.name: seal for seal in files}
        try:
            found = check(self._path(wanted.values()), self.workspace.verified)
        except (FileNotFoundError, DamageError):
            return None
        return found if found == wanted else None


def replica_key(files: Iterable[Seal]) -> str:
    """Return the name of an entry of the cache with these files."""
    rows = sorted((seal.name, seal.size, seal.sha256) for seal in files)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:40]


def _check_seals(seals: tuple[Seal, ...], names: set[str], needed: str) -> None:
    """Check the names and sizes of files.

    Raises:
        UsageError: one may not be there, is too large, or the needed one is missing.
    """
    found = [seal.name for seal in seals]
    if needed not in found or len(found) != len(set(found)) or len(found) > _FILES:
        raise UsageError(f"its files are not those of one {needed}")
    for seal in seals:
        if seal.name not in names:
            raise UsageError(f"{seal.name[:60]!r} is not the name of one of its files")
        if not 0 < seal.size <= _SIZES.get(seal.name, _MODULE):
            raise UsageError(f"its {seal.name} has {seal.size} bytes")
        if not _SHA256.fullmatch(seal.sha256):
            raise UsageError(f"{seal.sha256[:80]!r} is not the SHA-256 of its {seal.name}")


def _wrong_type(path: Path, name: str) -> str:
    """Return of which other type a file is than its name says, in words; empty: it is right."""
    if name in (HOST_KEY, KEY):
        return ""
    if name in _BEGINNINGS:
        with path.open("rb") as file:
            begins = file.read(4).startswith(_BEGINNINGS[name])
        return "" if begins else "of another type"
    try:
        kind = ElfTables(path.read_bytes()).type
    except (ElfError, struct.error) as error:
        return f"not an ELF file of an {GUEST.name} kernel: {error}"
    is_kernel = name in (KERNEL, DEBUG)
    return "an ELF file, but not of a kernel" if is_kernel and kind != FileType.EXEC else ""


@functools.cache
def _identity_table() -> type[Any]:
    """Return the type of a kernel's identity as a JSON document."""
    types = {**get_type_hints(KernelIdentity), "sanitizer": str}
    return msgspec.defstruct("IdentityTable", list(types.items()), forbid_unknown_fields=True)


def _identity(document: Mapping[str, Any]) -> KernelIdentity:
    """Return the identity of a document.

    Raises:
        UsageError: it is none.
    """
    try:
        read = read_table(dict(document), _identity_table())
    except Complaint as complaint:
        raise UsageError(f"its identity is invalid: {complaint.key}: {complaint.what}") from None
    values = {field.name: getattr(read, field.name) for field in fields(KernelIdentity)}
    if any(not text.isprintable() or len(text) > _TEXT for text in _texts(document)):
        raise UsageError("its identity has a text that is too long, or cannot be printed")
    sanitizer = parse_sanitizers(values["sanitizer"])
    return KernelIdentity(**{**values, "sanitizer": sanitizer, "files": ()})


def _texts(value: object) -> Iterator[str]:
    """Yield all texts of a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
