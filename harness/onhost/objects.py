"""Cache of compiled objects, by the content of all files that the compiler has read."""

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

#: Number of objects of one source and one command that are cached.
_MOST: Final = 16


@dataclass(slots=True)
class Contents:
    """SHA-256 of files; each file is read once."""

    _known: dict[str, str] = field(default_factory=dict)

    def of(self, path: str) -> str:
        """Return the SHA-256 of a file; empty if it cannot be read."""
        if path not in self._known:
            self._known[path] = _digest(Path(path))
        return self._known[path]


@dataclass(frozen=True, slots=True)
class Object:
    """A compiled object.

    Args:
        path: its file in the cache.
        reads: path and SHA-256 of each file that the compiler has read.
    """

    path: Path
    reads: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Digest of its command and inputs; equal digests mean equal objects."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class ObjectCache:
    """Finds objects whose sources have not changed, and stores new ones.

    Args:
        workspace: has the cache.
        contents: digests of the files in this build.
        scratch: a directory for unfinished objects, on the cache's file system.
    """

    workspace: Workspace
    contents: Contents
    scratch: Path

    def get(self, command: Sequence[str], compile_it: Callable[[Path, Path], None]) -> Object:
        """Return the object of a command, from the cache or compiled.

        Args:
            command: the compiler, its version and its arguments. The object depends on them and on
                the files that the compiler reads, and on nothing else.
            compile_it: writes the object to its first argument, and make's rule with the files that
                were read (``-MD``) to its second; raises if the compiler fails.
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
    """Return the path of a file that a program in a sandbox has written.

    Raises:
        InfraError: it is missing, or is not a regular file.
    """
    if path.is_symlink() or not path.is_file():
        raise InfraError(
            f"the tree's build did not write the file {path.name}",
            remedy="check the tree's scripts, or check it in a guest: --on guest",
        )
    return path


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; empty if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _age(path: Path) -> float:
    """Return a sorting key: the newest file first, one that was just removed last."""
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0


def rule_reads(rule: str) -> list[str]:
    """Return the prerequisites in a rule of make(1), as compilers write it."""
    _, _, words = rule.replace("\\\n", " ").partition(": ")
    escaped = words.replace("\\ ", "\0").split()
    return sorted({word.replace("\0", " ") for word in escaped})


def sources_digest(objects: Sequence[Object], top: Path) -> str:
    """Return a SHA-256 of the paths and contents of all files below ``top`` in ``reads``."""
    prefix = f"{top}/"
    reads = {
        (path.removeprefix(prefix), digest)
        for each in objects
        for path, digest in each.reads
        if path.startswith(prefix)
    }
    return hashlib.sha256(json.dumps(sorted(reads)).encode()).hexdigest()
