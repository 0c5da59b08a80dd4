"""The files of a checked-out tree that a host program is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError


class NoHostProgramError(InfraError):
    """A tree's C does not compile as a host program: the harness's limit, or the tree's fault."""


@dataclass(frozen=True, slots=True)
class TreeFiles:
    """Reads files of a tree.

    Args:
        top: the directory of the checked-out files.
    """

    top: Path

    @property
    def sys(self) -> Path:
        """The kernel's sources."""
        return self.top / "sys"

    def at(self, path: str) -> Path:
        """Return the place of a file."""
        return self.top / path

    def read(self, path: str) -> str | None:
        """Return the text of a file; None if it is missing, or is a link."""
        found = self.at(path)
        if found.is_symlink() or not found.is_file():
            return None
        return found.read_text("utf-8", "replace")

    def required(self, *paths: str) -> list[str]:
        """Return the texts of files.

        Raises:
            NoHostProgramError: files are missing.
        """
        texts = {path: self.read(path) for path in paths}
        missing = [path for path, text in texts.items() if text is None]
        if missing:
            raise NoHostProgramError(
                f"the tree does not compile as a host program: it has no {', '.join(missing)}",
                remedy="check it in a guest: --on guest",
            )
        return [text or "" for text in texts.values()]
