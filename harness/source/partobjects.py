"""Git's tree objects of parts of a tree, and hashes of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.source import treeparts
from harness.source.revision import combined_hash
from harness.source.treeparts import Content, Entry, Part

if TYPE_CHECKING:
    from harness.source.git import Repository

#: Parts that are hashed separately.
_PARTS = (treeparts.KERNEL, treeparts.TOOLCHAIN, treeparts.LOADER, treeparts.CONFIG, treeparts.MAKE)


def make_part(repository: Repository, tree: str, part: Part, more: Sequence[Entry]) -> str:
    """Write the tree of a part with more files, unless it was written before; return its name."""

    def made() -> str:
        listing = repository.listing(tree, part.directories())
        return repository.make_tree([*part.whole(listing), *more])

    if not Content(tree).is_fixed:
        return made()
    inputs = (tree, *part.texts, *map(_record, more))
    return repository.derived.kept("part", inputs, made)


def part_hashes(repository: Repository, tree: str) -> dict[Part, str]:
    """Return a hash of each part of a tree that is built."""

    def hashed() -> str:
        directories = {directory for part in _PARTS for directory in part.directories()}
        listing = sorted(repository.listing(tree, directories), key=lambda entry: entry.path)
        return " ".join(combined_hash(tuple(map(_record, part.whole(listing)))) for part in _PARTS)

    inputs = (tree, *(text for part in _PARTS for text in part.texts))
    hashes = repository.derived.kept("hashes", inputs, hashed)
    return dict(zip(_PARTS, hashes.split(), strict=True))


def _record(entry: Entry) -> str:
    return f"{entry.mode} {entry.name} {entry.path}"
