"""The version of a harness by its content: equal ones mean that hosts do the same."""

from __future__ import annotations

import functools
import hashlib
import platform
from typing import TYPE_CHECKING, Final

from harness.host.resources import checkout_path, data_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What does not change what a host does: files that Python or an installation writes, documents.
_MADE: Final = frozenset({"__pycache__", "_data"})
_DOCUMENTS: Final = ".md"


@functools.cache
def harness_version() -> str:
    """Return the hash of the harness's files, with Python's version."""
    digest = hashlib.sha256()
    for root, path in _files():
        name = f"{root.name}/{path.relative_to(root)}"
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    major, minor, _ = platform.python_version_tuple()
    return f"{digest.hexdigest()[:16]}, Python {major}.{minor}"


def installed_state() -> str:
    """Return what changes with the harness's files on this host, without reading them."""
    digest = hashlib.sha256()
    for _, path in _files():
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _files() -> Iterator[tuple[Path, Path]]:
    """Yield the harness's files, each after its root, in the order of their names."""
    for root in (checkout_path("harness"), data_file("images"), data_file("vmconfigs")):
        for path in sorted(root.rglob("*")):
            made = _MADE & set(path.relative_to(root).parts)
            if not made and path.suffix != _DOCUMENTS and path.is_file():
                yield root, path
