"""Patches that are applied to a tree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.source.git import Repository, forget_lock
from harness.source.patchpaths import named_paths, outside
from harness.source.treeparts import Content, Entry

#: Maximum number of paths in one command line.
_MANY = 500


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch file.

    Args:
        path: path of the file.
        text: its content.
        location: the tree that it is applied to, as the user named it.
    """

    path: Path
    text: bytes
    location: str

    @property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the text's SHA-256."""
        return hashlib.sha256(self.text).hexdigest()[:12]

    def applied(self, repository: Repository, content: Content, index: Path) -> Content:
        """Return the content with the patch applied.

        Args:
            repository: the repository of the content.
            content: the content to patch.
            index: path of a temporary index.

        Raises:
            UsageError: the patch names a path outside of the tree, or does not apply. A patch that
                writes through a symbolic link, even its own, does not apply (git-apply(1)).
        """
        self._refuse_outside()
        index.unlink(missing_ok=True)
        forget_lock(index)
        edited = self._edited(repository, content)
        if edited is not None:
            # A patch that only edits files needs no other files in the index.
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
                    f"the patch {self.path} was not applied: {path!r} is outside of the tree",
                    remedy="create it in the top directory of the tree: git diff > FILE",
                )

    def _edited(self, repository: Repository, content: Content) -> list[Entry] | None:
        """Return the files that the patch edits; None if it creates, renames or copies any."""
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
                remedy="create it from the revision that is built: git diff REVISION > FILE",
                detail=applied.stderr.decode("utf-8", "replace").strip(),
            )


def read_patch(path: Path, location: str) -> Patch:
    """Return the patch in a file.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return Patch(path, path.read_bytes(), location)
    except OSError as error:
        raise UsageError(
            f"cannot read the patch {path}: {error.strerror}",
            remedy="pass a readable file: --patch FILE",
        ) from error
