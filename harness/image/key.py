"""Cache keys of compiled files: equal keys mean equal content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from harness.kernel.toolchain import program_identity


def content_key(programs: Iterable[Path], words: Iterable[str], sources: Iterable[Path]) -> str:
    """Return a SHA-256, in hexadecimal, of everything that the output depends on.

    Args:
        programs: compiler and linker, identified by path, size and modification time, because
            running them for their version takes longer than the rest of a boot's preparation.
        words: their arguments.
        sources: the files that they read, identified by name and content.
    """
    digest = hashlib.sha256()
    for part in (
        *(program_identity(program).encode() for program in programs),
        *(word.encode() for word in words),
        *(part for path in sources for part in (path.name.encode(), path.read_bytes())),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
