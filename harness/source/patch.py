"""A patch on top of a tree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.source.git import Repository, forget_lock
from harness.source.parts import Content, Entry
from harness.source.patchpaths import named_paths, outside

#: As many paths go into one command line.
_MANY = 500


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch file.

    Args:
        path: where it is.
        text: what is in it.
        location: the tree that it is for, as the user named it.
    """

    path: Path
    text: bytes
    location: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, 12 digits."""
        return hashlib.sha256(self.text).hexdigest()[:12]

    def applied(self, repository: Repository, content: Content, index: Path) -> Content:
        """The content with the patch on top.

        Args:
            repository: of the content.
            content: what it is applied to.
            index: a file of ours.

        Raises:
            UsageError: it names a path outside the tree, or does not apply. One that writes
                through a symbolic link, which it may make itself, does not (git-apply(1)).
        """
        self._refuse_outside()
        index.unlink(missing_ok=True)
        forget_lock(index)
        edited = self._edited(repository, content)
        if edited is not None:
            # A patch that only edits files needs no others beside them.
            repository.fill_index(index, edited)
            self._apply(repository, index)
            left = {entry.path: entry for entry in repository.index_files(index)}
            return content.but(left.get(one.path, Entry.absent(one.path)) for one in edited)
        repository.git("read-tree", content.tree, index=index)
        repository.fill_index(index, content.changed.values())
        self._apply(repository, index)
        differing = repository.differences(content.tree, repository.write_index(index))
        return Content(content.tree).but(after for _, after in differing)

    def _refuse_outside(self) -> None:
        for path in named_paths(self.text):
            if outside(path):
                raise UsageError(
                    f"the patch {self.path} names {path!r}, which is outside the tree: "
                    "none of it was applied",
                    remedy="name with --patch one that git diff made in the tree's top directory",
                )

    def _edited(self, repository: Repository, content: Content) -> list[Entry] | None:
        """The files that it edits; None if it makes, renames or copies any."""
        counted = repository.git("apply", "--numstat", "-z", "-", stdin=self.text, check=False)
        records = counted.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
        paths = {record.split("\t", 2)[2] for record in records}
        if counted.returncode != 0 or not 0 < len(paths) <= _MANY:
            return None
        found = {entry.path: entry for entry in repository.entries(content.tree, sorted(paths))}
        found |= {path: entry for path, entry in content.changed.items() if path in paths}
        edited = [entry for entry in found.values() if entry.kind == "blob" and not entry.is_absent]
        return edited if len(edited) == len(paths) else None

    def _apply(self, repository: Repository, index: Path) -> None:
        words = ("apply", "--cached", "--whitespace=nowarn", "-")
        applied = repository.git(*words, index=index, stdin=self.text, check=False)
        if applied.returncode != 0:
            raise UsageError(
                f"the patch {self.path} does not apply to {self.location}",
                remedy="name with --patch one that git diff made against what is built",
                detail=applied.stderr.decode("utf-8", "replace").strip(),
            )


def read_patch(path: Path, location: str) -> Patch:
    """The patch in a file, for a tree.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return Patch(path, path.read_bytes(), location)
    except OSError as error:
        raise UsageError(
            f"cannot read the patch {path}: {error.strerror}", remedy="name another with --patch"
        ) from error
