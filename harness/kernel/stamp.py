"""Marks of the content that a part of a build was made from."""

from __future__ import annotations

from pathlib import Path

from harness.host.workspace import write_atomic


class Stamp:
    """A mark of the content that a part was last built from, and of an interrupted build.

    As a context manager, it marks the part as being built, and as fresh after success.
    """

    def __init__(self, path: Path, content: str) -> None:
        self._done = path.with_name(path.name + ".done")
        self._started = path.with_name(path.name + ".started")
        self._content = content

    def is_fresh(self) -> bool:
        """Return whether the part was completely built from this content."""
        try:
            return not self.was_interrupted() and self._done.read_text() == self._content
        except OSError:
            return False

    def was_interrupted(self) -> bool:
        """Return whether a build of the part was killed."""
        return self._started.exists()

    def remove_newer(self, directory: Path) -> None:
        """Remove the files that a killed build wrote, which may be incomplete."""
        since = self._started.stat().st_mtime
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since:
                path.unlink()

    def __enter__(self) -> None:
        self._done.unlink(missing_ok=True)
        self._started.touch()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            write_atomic(self._done, self._content)
        if kind is None or issubclass(kind, Exception):
            # make(1) ended by itself, and has removed incomplete files.
            self._started.unlink(missing_ok=True)
