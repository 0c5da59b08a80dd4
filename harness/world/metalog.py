"""Lists of a world's files with owners and modes, in the format of mtree(5).

An unprivileged ``installworld`` cannot set owners, and writes them into a METALOG instead
(``NO_ROOT``, build(7)). Debian's makefs(8) reads one such list, in which every directory stands
before its content, and each path once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.errors import BuildError

_KEYS = ("type", "uname", "gname", "mode", "link")
"""The keywords that are kept. Others, such as ``contents``, would let a tree's build name any file
of the host, or set flags that makefs does not know."""

_TYPES = frozenset({"dir", "file", "link"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
_MODE = re.compile(r"[0-7]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the image.

    Args:
        path: path from the top, without a leading slash; encoded as in mtree(5).
        kind: ``dir``, ``file`` or ``link``.
        owner: user name.
        group: group name.
        mode: permissions, in octal.
        link: target of a symbolic link.
    """

    path: str
    kind: str = "file"
    owner: str = "root"
    group: str = "wheel"
    mode: str = "0644"
    link: str = ""

    @property
    def line(self) -> str:
        """The line of mtree(5)."""
        link = f" link={self.link}" if self.kind == "link" else ""
        return (
            f"./{self.path} type={self.kind} uname={self.owner} gname={self.group} "
            f"mode={self.mode}{link}"
        )


@dataclass(slots=True)
class Metalog:
    """The files of an image, by path; of two entries of a path, the later one counts."""

    entries: dict[str, FileEntry] = field(default_factory=dict)

    def read(self, text: str, origin: str) -> None:
        """Add the lines of a METALOG.

        A line without a keyword leaves what an earlier line of that path says.

        Args:
            text: the METALOG.
            origin: its name in errors.

        Raises:
            BuildError: a line is not what installworld writes.
        """
        for number, line in enumerate(text.splitlines(), start=1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            try:
                self._add(stripped)
            except ValueError as error:
                raise BuildError(
                    f"line {number} of {origin} is not what installworld writes: {error}",
                    remedy="check the tree's install(1) and makefiles",
                    detail=stripped[:200],
                ) from error

    def add(self, entries: Iterable[FileEntry]) -> None:
        """Add entries, or replace those of the same paths."""
        for entry in entries:
            self.entries[entry.path] = entry

    def text(self) -> str:
        """Return the list for makefs, directories before their content.

        Raises:
            BuildError: a directory of a file has no entry.
        """
        for path in self.entries:
            parent = path.rpartition("/")[0]
            if parent and (parent not in self.entries or self.entries[parent].kind != "dir"):
                raise BuildError(
                    f"installworld installed {path}, and no directory {parent}",
                    remedy="check the tree's etc/mtree",
                )
        ordered = sorted(self.entries.values(), key=lambda entry: entry.path.split("/"))
        top = FileEntry("", "dir", mode="0755")
        return "\n".join(["#mtree 2.0", f". {top.line[3:]}", *(one.line for one in ordered), ""])

    def _add(self, line: str) -> None:
        name, *words = line.split()
        path = _path(name)
        if not path:
            return
        known = self.entries.get(path)
        keys = dict(word.partition("=")[::2] for word in words)
        values = {key: keys[key] for key in _KEYS if key in keys}
        self.entries[path] = _entry(path, values, known)


def _path(name: str) -> str:
    """Return the path from the top; empty for the top itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("the path leads upwards")
    return "/".join(parts)


def _entry(path: str, values: Mapping[str, str], known: FileEntry | None) -> FileEntry:
    before = known or FileEntry(path)
    entry = FileEntry(
        path,
        values.get("type", before.kind),
        values.get("uname", before.owner),
        values.get("gname", before.group),
        values.get("mode", before.mode),
        values.get("link", before.link),
    )
    if entry.kind not in _TYPES:
        raise ValueError(f"the type {entry.kind!r}")
    for name in (entry.owner, entry.group):
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name {name!r}")
    if not _MODE.fullmatch(entry.mode):
        raise ValueError(f"the mode {entry.mode!r}")
    if entry.kind == "link" and not entry.link:
        raise ValueError("a link without a target")
    return entry
