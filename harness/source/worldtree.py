"""The content of a tree that a world is built from: nearly all of it, with the user's overlay."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.source import treeparts
from harness.source.git import Repository, forget_lock
from harness.source.missing import lacking
from harness.source.treeparts import Entry

if TYPE_CHECKING:
    from harness.source.change import Change
    from harness.source.tree import SourceTree

#: Directories whose files no world of ours reads (``images/world``): modules, drivers, other
#: systems' tests, and parts that src.conf(5) leaves out. Files that a clone lacks there are of no
#: account.
_UNREAD: Final = (
    "contrib/libsamplerate",
    "contrib/llvm-project",
    "contrib/ntp",
    "crypto/libecc/src/examples",
    "crypto/libecc/src/tests",
    "crypto/libecc/src/wycheproof_tests",
    "crypto/openssl/test",
    "release",
    "share/colldef",
    "share/doc",
    "sys/contrib",
    "sys/dev",
)

_IGNORED: Final = (("crypto/openssh/sshd.c", "crypto/openssh/config.h"),)
"""Files that FreeBSD has although a .gitignore of the tree names them, each behind one that stands
beside it: whoever adds a tree to git anew loses them, and git does not miss them."""

_MOST_NAMED: Final = 20
"""Most missing files that an error names."""


@dataclass(frozen=True, slots=True)
class WorldSnapshot:
    """The exact content of a tree that a world is built from.

    Args:
        location: the directory or URL that the user named.
        commit: the commit of the revision, or of HEAD; None for a plain directory.
        dirty: whether it contains uncommitted changes.
        tree: git's hash of all files that are checked out, those of the overlay included.
        overlaid: paths of the overlay's files.
        release: the tree's release, such as 15.1-RELEASE-p1.
        llvm: the major version of the LLVM in the tree.
        make: a hash of the sources of make(1).
    """

    location: str
    commit: str | None
    dirty: bool
    tree: str
    overlaid: tuple[str, ...]
    release: str
    llvm: int
    make: str

    @property
    def label(self) -> str:
        """A short name for reports."""
        words = [self.commit[:10] if self.commit else f"directory {self.tree[:10]}"]
        if self.dirty:
            words.append("dirty")
        if self.overlaid:
            words.append("+overlay")
        return " ".join(words)


def world_snapshot(tree: SourceTree, change: Change, overlay: Path | None) -> WorldSnapshot:
    """Return the content that a world of a tree is built from. The caller holds ``being_read``.

    Args:
        tree: the tree.
        change: the revision; a patch or a mutant is of the kernel, and is left out.
        overlay: a directory whose files are laid over the tree; None for none.

    Raises:
        UsageError: the revision does not exist, the tree is not FreeBSD's, the overlay is not a
            directory of files, or a file that a world needs is in neither.
    """
    if not tree.versioned:
        raise UsageError(
            f"a world cannot be built from {tree.location}, which is not a git clone",
            remedy="name a git clone: --source DIR",
        )
    base = tree.base(change)
    repository = tree.repository
    laid = _overlaid(repository, overlay) if overlay is not None else []
    given = {entry.path for entry in laid}
    given |= {path for path, entry in base.content.changed.items() if not entry.is_absent}
    absent = set(lacking(repository, base.content.tree, tree.home / "world-lacking.json")) - given
    ignored = {
        path
        for beside, path in _IGNORED
        if tree.has_file(change, beside) and not tree.has_file(change, path)
    }
    _require(tree.location, absent | (ignored - given))
    index = tree.home / "world.index"
    forget_lock(index)
    index.unlink(missing_ok=True)
    repository.git("read-tree", base.content.tree, index=index)
    gone = [Entry.absent(path) for path in absent]
    repository.fill_index(index, [*gone, *base.content.changed.values(), *laid])
    whole = repository.write_index(index)
    return WorldSnapshot(
        location=tree.location,
        commit=base.commit,
        dirty=base.dirty,
        tree=whole,
        overlaid=tuple(sorted(entry.path for entry in laid)),
        release=str(base.release),
        llvm=base.llvm,
        make=_make_hash(repository, whole),
    )


def _make_hash(repository: Repository, tree: str) -> str:
    return repository.git("rev-parse", f"{tree}:contrib/bmake").text.strip()


def _require(location: str, absent: Iterable[str]) -> None:
    """Refuse a tree that lacks files which a world's build may read."""
    needed = sorted(path for path in absent if not _is_unread(path))
    if not needed:
        return
    more = f"\nand {len(needed) - _MOST_NAMED} more" if len(needed) > _MOST_NAMED else ""
    raise UsageError(
        f"the clone {location} lacks files that a world is built from",
        remedy="fetch the whole repository, or put them below a directory, at the same paths "
        "(an empty file will do for one that is not needed), and name it: --overlay DIR, or "
        "overlay in [image] of the settings",
        detail="\n".join(needed[:_MOST_NAMED]) + more,
    )


def _is_unread(path: str) -> bool:
    return any(above in _UNREAD for above in treeparts.parents(path))


def _overlaid(repository: Repository, overlay: Path) -> list[Entry]:
    """Return the files of an overlay as git's objects."""
    files = sorted(_files(overlay))
    if not files:
        raise UsageError(
            f"the overlay {overlay} has no files", remedy="name a directory with files"
        )
    names = _hashed(repository, [path for path, _ in files])
    return [
        Entry(mode, "blob", name, path.relative_to(overlay).as_posix())
        for (path, mode), name in zip(files, names, strict=True)
    ]


def _hashed(repository: Repository, paths: Sequence[Path]) -> list[str]:
    stdin = b"".join(bytes(path.resolve()) + b"\n" for path in paths)
    words = ("hash-object", "-w", "--no-filters", "--stdin-paths")
    return repository.git(*words, stdin=stdin).text.split()


def _files(overlay: Path) -> Iterator[tuple[Path, str]]:
    """Generate the files of an overlay with git's modes."""
    if not overlay.is_dir():
        raise UsageError(
            f"the overlay {overlay} is not a directory",
            remedy="name a directory with files at the tree's paths: --overlay DIR",
        )
    for directory, names, files in os.walk(overlay):
        for name in (*names, *files):
            path = Path(directory, name)
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode) and name != ".git":
                continue
            if not stat.S_ISREG(status.st_mode) or "\n" in str(path):
                raise UsageError(
                    f"{path} cannot be laid over a tree: only regular files can",
                    remedy="remove it from the overlay",
                )
            yield path, "100755" if status.st_mode & 0o100 else "100644"
