"""Cache of generated source files, by the content of their inputs."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.cachesize import HOST_PROGRAMS
from harness.host.workspace import make_directory, unique
from harness.onhost.objects import plain_file

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

#: Maximum size of a generated file, in bytes.
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class GeneratedFiles:
    """Directories of generated files, by a digest of their inputs.

    Args:
        workspace: has the cache.
        scratch: the directory in which scripts write.
    """

    workspace: Workspace
    scratch: Path

    def of_texts(self, texts: Mapping[str, str]) -> Path:
        """Return a directory with these texts, by file name."""
        parts = [part for pair in sorted(texts.items()) for part in pair]
        return self._kept(_digest(parts), lambda directory: _write(directory, texts))

    def of_script(self, made_from: list[str], script: Callable[[Path], Mapping[str, str]]) -> Path:
        """Return a directory with the files that a script writes.

        Args:
            made_from: the script's text, and the texts of all files that it reads.
            script: runs it in a directory; returns more texts by file name, such as its output.
        """

        def make(directory: Path) -> None:
            work = self.scratch / unique()
            make_directory(work)
            texts = dict(script(work))
            for path in sorted(work.iterdir()):
                if plain_file(path).stat().st_size <= _MOST_BYTES:
                    texts[path.name] = path.read_text("utf-8", "replace")
            _write(directory, texts)

        return self._kept(_digest(made_from), make)

    def _kept(self, digest: str, make: Callable[[Path], None]) -> Path:
        directory = self.workspace.cache / HOST_PROGRAMS / "generated" / digest
        if directory.is_dir():
            os.utime(directory)
            return directory
        filling = directory.with_name(f".{digest}.{unique()}")
        make_directory(filling)
        try:
            make(filling)
            if not directory.is_dir():
                filling.rename(directory)
        finally:
            shutil.rmtree(filling, ignore_errors=True)
        return directory


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (directory / name).write_text(text)
