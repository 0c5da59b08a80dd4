"""Cache of host programs, by their content."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.host.cachesize import HOST_PROGRAMS
from harness.host.jsontoml import read_object
from harness.host.sealedstore import DamageError, check, store
from harness.host.workspace import make_directory, write_atomic
from harness.onhost.ending import Symbols
from harness.onhost.places import Places
from harness.onhost.symboltable import read_symbols

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

_IDENTITY: Final = "identity.json"
_LISTS: Final = ("shimmed", "subsystems", "sanitizers")


@dataclass(frozen=True, slots=True)
class ProgramIdentity:
    """What a program was made from; part of every record of its checks.

    Args:
        key: SHA-256 of the program.
        sources: SHA-256 of the tree's files that were compiled, headers included.
        release: the release according to the tree.
        compiler: the first line of its ``--version``.
        optimisation: the compiler's flag for the tree's files.
        shimmed: what replaces the rest of the kernel, in words.
        subsystems: the subsystems with a part in it.
        sanitizers: names of the sanitizers that it has.
    """

    key: str
    sources: str
    release: str
    compiler: str
    optimisation: str
    shimmed: tuple[str, ...]
    subsystems: tuple[str, ...]
    sanitizers: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HostProgram:
    """A program, ready to run.

    Args:
        identity: what it was made from.
        directory: the directory of its files.
    """

    identity: ProgramIdentity
    directory: Path

    @property
    def path(self) -> Path:
        """The program's file."""
        return self.directory / "program"

    def symbols(self) -> Symbols:
        """Return its functions by address."""
        return _symbols(self.path)


@functools.lru_cache(maxsize=8)  # programs are started again after some findings
def _symbols(path: Path) -> Symbols:
    return Symbols.of(read_symbols(path), Places(path).of)


class ProgramCache:
    """Programs by key, and the key for each request, in the workspace's cache."""

    def __init__(self, workspace: Workspace) -> None:
        self._programs = workspace.cache / HOST_PROGRAMS / "programs"
        self._requests = workspace.cache / HOST_PROGRAMS / "requests"
        self._verified = workspace.verified

    def answer(self, request: str) -> HostProgram | None:
        """Return the program that was built for a request; None if it is missing or damaged."""
        try:
            key = (self._requests / request).read_text()
        except OSError:
            return None
        return self.find(key) if key.isalnum() else None

    def find(self, key: str) -> HostProgram | None:
        """Return the program with that key; None if it is missing or damaged."""
        directory = self._programs / key[:32]
        try:
            check(directory, self._verified)
            document = read_object(directory / _IDENTITY)
            lists = {name: tuple(document[name]) for name in _LISTS}
            identity = ProgramIdentity(**{**document, **lists})
        except (OSError, ValueError, KeyError, TypeError, DamageError):
            return None
        if identity.key != key:
            return None
        os.utime(directory)
        return HostProgram(identity, directory)

    def store(self, identity: ProgramIdentity, files: Mapping[str, Path]) -> HostProgram:
        """Store copies of a program's files.

        Raises:
            InfraError: the disk is full, or the directory is not writable.
        """
        found = self.find(identity.key)
        if found is not None and found.identity == identity:
            return found
        directory = self._programs / identity.key[:32]
        make_directory(self._programs)
        store(directory, files, {_IDENTITY: json.dumps(identity.document(), indent=1) + "\n"})
        (directory / "program").chmod(0o755)
        return HostProgram(identity, directory)

    def remember(self, request: str, program: HostProgram) -> None:
        """Record that a program was built for a request."""
        write_atomic(self._requests / request, program.identity.key)
