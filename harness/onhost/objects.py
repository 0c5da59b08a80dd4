"""Compiled objects, kept by the content of all that the compiler has read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import InfraError
from harness.host.cachesize import HOST_PROGRAMS
from harness.host.jsontoml import read_object
from harness.host.workspace import make_directory, unique, write_atomic

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

#: How many objects of one source and one command are kept.
_MOST: Final = 16


@dataclass(slots=True)
class Contents:
    """The SHA-256 of files, each read once."""

    _known: dict[str, str] = field(default_factory=dict)

    def of(self, path: str) -> str:
        """Of a file; empty for one that cannot be read."""
        if path not in self._known:
            self._known[path] = _digest(Path(path))
        return self._known[path]


@dataclass(frozen=True, slots=True)
class Object:
    """A compiled object.

    Args:
        path: of its file in the cache.
        reads: what the compiler has read, with the SHA-256 of each.
    """

    path: Path
    reads: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Of what it was made from and by; equal digests mean equal objects."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class ObjectCache:
    """Finds objects whose sources have not changed, and keeps new ones.

    Args:
        workspace: whose cache.
        contents: of the files, in this build.
        scratch: a directory for what is being compiled, on the cache's file system.
    """

    workspace: Workspace
    contents: Contents
    scratch: Path

    def get(self, command: Sequence[str], compile_it: Callable[[Path, Path], None]) -> Object:
        """The object that a command makes, from the cache or compiled.

        Args:
            command: the compiler, its version and its arguments; two that are equal make equal
                objects of equal files.
            compile_it: writes the object, and make's rule with what was read (``-MD``), into the
                files that it is given, and raises if it cannot.
        """
        name = hashlib.sha256("\0".join(command).encode()).hexdigest()[:32]
        directory = self.workspace.cache / HOST_PROGRAMS / "objects" / name
        found = self._found(directory)
        return found if found is not None else self._made(directory, compile_it)

    def _found(self, directory: Path) -> Object | None:
        for manifest in sorted(directory.glob("*.json"), key=_age):
            try:
                document = read_object(manifest)
                reads = [(str(path), str(digest)) for path, digest in document["reads"]]
                sealed = str(document["object"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            path = manifest.with_suffix(".o")
            current = all(self.contents.of(each) == digest for each, digest in reads)
            if current and _digest(path) == sealed:  # else it is damaged
                return Object(path, tuple(reads))
        return None

    def _made(self, directory: Path, compile_it: Callable[[Path, Path], None]) -> Object:
        make_directory(directory)
        temporary = self.scratch / f"{unique()}.o"
        rule = temporary.with_suffix(".d")
        compile_it(temporary, rule)
        text = plain_file(rule).read_text("utf-8", "replace")
        reads = [(path, self.contents.of(path)) for path in rule_reads(text)]
        key = hashlib.sha256(json.dumps([directory.name, reads]).encode()).hexdigest()[:32]
        sealed = _digest(plain_file(temporary))
        temporary.replace(directory / f"{key}.o")
        document: dict[str, Any] = {"object": sealed, "reads": reads}
        write_atomic(directory / f"{key}.json", json.dumps(document))
        for old in sorted(directory.glob("*.json"), key=_age)[_MOST:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".o").unlink(missing_ok=True)
        return Object(directory / f"{key}.o", tuple(reads))


def plain_file(path: Path) -> Path:
    """A file that something in a sandbox has written.

    Raises:
        InfraError: it is none, or a link to somewhere else.
    """
    if path.is_symlink() or not path.is_file():
        raise InfraError(f"{path.name} was to be a file", remedy="see what the tree's build does")
    return path


def _digest(path: Path) -> str:
    """The SHA-256 of a file; empty for one that cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _age(path: Path) -> float:
    """The newest first; one that another harness has just removed last."""
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0


def rule_reads(rule: str) -> list[str]:
    """The files that a rule of make(1), as compilers write it, says were read."""
    _, _, words = rule.replace("\\\n", " ").partition(": ")
    escaped = words.replace("\\ ", "\0").split()
    return sorted({word.replace("\0", " ") for word in escaped})


def sources_digest(objects: Sequence[Object], top: Path) -> str:
    """SHA-256 of all files below ``top`` that objects were compiled from, by path and content."""
    prefix = f"{top}/"
    reads = {
        (path.removeprefix(prefix), digest)
        for each in objects
        for path, digest in each.reads
        if path.startswith(prefix)
    }
    return hashlib.sha256(json.dumps(sorted(reads)).encode()).hexdigest()
