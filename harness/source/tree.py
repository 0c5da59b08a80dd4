"""A FreeBSD source tree: read as the user has it, checked out into a folder of our own."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError, UsageError
from harness.host.process import Runner
from harness.host.workspace import Workspace, make_folder
from harness.source.git import Repository, clone, git_directory
from harness.source.mutant import find_mutant
from harness.source.reading import allocator_form
from harness.source.revision import (
    BUILD_PATHS,
    CONFIG_PATHS,
    EXTRA_PATHS,
    KERNEL_PATHS,
    LOADER_PATHS,
    MAKE_PATHS,
    NEW_FILE_PATHS,
    Change,
    Snapshot,
    combined_hash,
    parse_llvm_major,
    parse_release,
)

_NEWVERS = "sys/conf/newvers.sh"
_LLVM_VERSION = "lib/clang/include/clang/Basic/Version.inc"


@dataclass(frozen=True, slots=True)
class SourceTree:
    """One tree of the user's, with the folder of ours that serves it.

    Args:
        location: the folder or URL that the user named.
        files: the user's work tree; None for a URL or a bare repository.
        repository: the user's git directory, or ours for a plain folder.
        home: our folder: objects, indexes, the checkout (``src``) and the build's output.
        versioned: it has revisions.
    """

    location: str
    files: Path | None
    repository: Repository
    home: Path
    versioned: bool

    @property
    def checkout_folder(self) -> Path:
        """Where ``checkout`` puts the files; one place for all revisions, so that objects last."""
        return self.home / "src"

    def snapshot(self, change: Change) -> Snapshot:
        """Take the content to be built.  The caller holds the tree's lock.

        Raises:
            UsageError: an unknown revision, a patch that does not apply, a mutant that
                is refused, or a tree that is not FreeBSD's.
        """
        index = self.home / "snapshot.index"
        _forget_lock(index)
        commit = self._head(change.revision)
        if change.revision is not None or self.files is None:
            self.repository.git("read-tree", commit or "HEAD", index=index)
            dirty = False
        else:
            dirty = self._read_files(index, self.files)
        release = parse_release(self._blob(index, _NEWVERS).decode("utf-8", "replace"))
        llvm = parse_llvm_major(self._blob(index, _LLVM_VERSION).decode("utf-8", "replace"))
        patch = self._apply_patch(index, change.patch)
        if change.mutant is not None:
            self._apply_mutant(index, change.mutant)
        entries = self._entries(index)
        return Snapshot(
            location=self.location,
            commit=commit,
            dirty=dirty,
            patch=patch,
            mutant=change.mutant,
            tree=self._write_tree(entries),
            kernel=_hash_of(entries, KERNEL_PATHS),
            toolchain=_hash_of(entries, KERNEL_PATHS, others=True),
            loader=_hash_of(entries, LOADER_PATHS),
            config=_hash_of(entries, CONFIG_PATHS),
            make=_hash_of(entries, MAKE_PATHS),
            release=str(release),
            llvm=llvm,
            allocator=allocator_form(
                self._blob(index, "sys/vm/uma_core.c"), self._blob(index, "sys/vm/vm_domainset.c")
            ),
        )

    def checkout(self, snapshot: Snapshot) -> Path:
        """Put the snapshot's files into our folder; files that are the same are not touched.

        The caller holds the tree's lock.
        """
        index = self.home / "checkout.index"
        _forget_lock(index)
        try:
            self._read_tree(snapshot.tree, index)
        except InfraError as error:
            if "index file" not in error.detail:
                raise
            # Damaged, as a host that lost power may leave it: nobody knows what is there.
            index.unlink()
            shutil.rmtree(self.checkout_folder)
            self._read_tree(snapshot.tree, index)
        return self.checkout_folder

    def _read_tree(self, tree: str, index: Path) -> None:
        folder = self.checkout_folder
        make_folder(folder)
        self.repository.git("read-tree", "--reset", "-u", tree, index=index, work_tree=folder)

    def _head(self, revision: str | None) -> str | None:
        if revision is not None and not self.versioned:
            raise UsageError(
                f"{self.location} is a plain folder, so it has no revision {revision!r}",
                remedy="leave --rev out, or name a git clone",
            )
        return self.repository.commit(revision or "HEAD") if self.versioned else None

    def _read_files(self, index: Path, files: Path) -> bool:
        """Bring the index to what the user's files hold; True if that differs from HEAD."""
        git = self.repository.git
        if self.versioned:
            # The user's own index knows which files are unchanged and which are
            # outside a sparse checkout.
            own = self.repository.git_dir / "index"
            if own.is_file():
                shutil.copyfile(own, index)
            else:
                git("read-tree", "HEAD", index=index)
        # git's own index knows every file of a clone; only few new ones can matter.
        looked_at = NEW_FILE_PATHS if self.versioned else BUILD_PATHS
        with ThreadPoolExecutor(2) as both:
            asked = (
                ("diff-files", "--name-only", "-z"),
                ("ls-files", "--others", "--exclude-standard", "-z", "--", *looked_at),
            )
            changed, new = both.map(lambda words: git(*words, index=index, work_tree=files), asked)
        git(
            "update-index", "--add", "--remove", "-z", "--stdin",
            index=index, work_tree=files, stdin=changed.stdout + new.stdout,
        )  # fmt: skip
        return self.versioned and self._differs_from_head(index)

    def _differs_from_head(self, index: Path) -> bool:
        """Whether anything that is built differs; files that the clone lacks do not count."""
        listing = ("diff-index", "--cached", "--no-renames", "-z", "HEAD", "--")
        fields = [
            field
            for part in (BUILD_PATHS, EXTRA_PATHS)
            for field in self.repository.lines(*listing, *part, index=index)
        ]
        committed = {row.split()[2] for row in fields[::2] if row.endswith(" D")}
        gone = self._missing(committed)
        return any(not row.endswith(" D") or row.split()[2] not in gone for row in fields[::2])

    def _blob(self, index: Path, path: str) -> bytes:
        found = self.repository.git("cat-file", "blob", f":{path}", index=index, check=False)
        if found.returncode != 0:
            raise _not_freebsd(self.location, f"it has no {path}")
        return found.stdout

    def _apply_patch(self, index: Path, patch: Path | None) -> str | None:
        if patch is None:
            return None
        try:
            text = patch.read_bytes()
        except OSError as error:
            raise UsageError(
                f"cannot read the patch {patch}: {error.strerror}", remedy="correct --patch"
            ) from error
        applied = self.repository.git(
            "apply", "--cached", "--whitespace=nowarn", "-", index=index, stdin=text, check=False
        )
        if applied.returncode != 0:
            raise UsageError(
                f"the patch {patch} does not apply to {self.location}",
                remedy="make it against the revision that is built, with git diff",
                detail=applied.stderr.decode("utf-8", "replace").strip(),
            )
        return hashlib.sha256(text).hexdigest()[:12]

    def _apply_mutant(self, index: Path, name: str) -> None:
        mutant = find_mutant(name)
        changed = mutant.apply(self._blob(index, str(mutant.path)))
        blob = self.repository.git("hash-object", "-w", "--stdin", stdin=changed).text.strip()
        self.repository.git(
            "update-index", "--cacheinfo", f"100644,{blob},{mutant.path}", index=index
        )

    def _entries(self, index: Path) -> dict[str, str]:
        """``mode hash stage`` by path, of all that the build needs and the clone has."""
        listed: dict[str, str] = {}
        for paths in (BUILD_PATHS, EXTRA_PATHS):
            for line in self.repository.lines("ls-files", "-s", "-z", "--", *paths, index=index):
                meta, path = line.split("\t", 1)
                listed[path] = meta
        if self.repository.is_partial():
            return listed
        # A clone may lack objects (some mirrors drop large files).  What the kernel
        # needs of them the build will name; the rest must not stop the checkout.
        missing = self._missing({meta.split()[1] for meta in listed.values()})
        return {path: meta for path, meta in listed.items() if meta.split()[1] not in missing}

    def _missing(self, names: Iterable[str]) -> set[str]:
        """Those of the objects that the repository does not have."""
        asked = "".join(f"{name}\n" for name in names).encode()
        answers = self.repository.git("cat-file", "--batch-check", "--buffer", stdin=asked).text
        return {line.split()[0] for line in answers.splitlines() if line.endswith(" missing")}

    def _write_tree(self, entries: Mapping[str, str]) -> str:
        index = self.home / "tree.index"
        index.unlink(missing_ok=True)
        _forget_lock(index)
        listing = "".join(f"{meta}\t{path}\0" for path, meta in entries.items())
        self.repository.git(
            "update-index", "-z", "--index-info",
            index=index, stdin=listing.encode("utf-8", "surrogateescape"),
        )  # fmt: skip
        return self.repository.git("write-tree", index=index).text.strip()


@contextlib.contextmanager
def locked(tree: SourceTree, workspace: Workspace, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the tree's lock; gives the descriptor for children that must keep it."""
    with workspace.lock(f"tree-{tree.home.name}", waiting) as lock:
        yield lock.fd


def open_tree(location: str, workspace: Workspace, runner: Runner) -> SourceTree:
    """The tree at a folder or git URL.

    Raises:
        UsageError: there is no such folder or repository.
        InfraError: a clone failed for the host's or the network's reasons.
    """
    if "://" in location or location.startswith("git@"):
        return _open_url(location, workspace, runner)
    folder = Path(location).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"the source tree {location} is not a folder",
            remedy="name a FreeBSD source tree, a git URL, or 'embedded' with --source",
        )
    folder = folder.resolve()
    home = _home(str(folder), workspace)
    git_dir = git_directory(folder, runner)
    if git_dir is not None:
        return SourceTree(
            location, folder, Repository(git_dir, home / "objects", runner), home, True
        )
    if not (folder / _NEWVERS).is_file():
        raise _not_freebsd(location, f"it has no {_NEWVERS}")
    own = home / "git"
    if not (own / "HEAD").is_file():
        runner.run(["git", "init", "--quiet", "--bare", own])
    return SourceTree(location, folder, Repository(own, own / "objects", runner), home, False)


def _open_url(url: str, workspace: Workspace, runner: Runner) -> SourceTree:
    home = _home(url, workspace)
    target = home / "clone"
    with workspace.lock(f"tree-{home.name}"):
        if not (target / ".git" / "HEAD").is_file() or (home / "cloning").exists():
            shutil.rmtree(target, ignore_errors=True)
            (home / "cloning").touch()
            clone(url, target, runner)
            (home / "cloning").unlink()
    git_dir = target / ".git"
    return SourceTree(url, None, Repository(git_dir, git_dir / "objects", runner), home, True)


def _home(identity: str, workspace: Workspace) -> Path:
    home = workspace.cache / "trees" / hashlib.sha256(identity.encode()).hexdigest()[:12]
    make_folder(home / "objects")
    return home


def _hash_of(entries: Mapping[str, str], paths: tuple[str, ...], *, others: bool = False) -> str:
    """A hash of the entries under ``paths``, or (``others``) of all but them."""
    prefixes = tuple(f"{path}/" for path in paths)
    chosen = sorted(
        f"{meta} {path}"
        for path, meta in entries.items()
        if (path in paths or path.startswith(prefixes)) is not others
    )
    return combined_hash(tuple(chosen))


def _forget_lock(index: Path) -> None:
    """Remove git's lock of one of our indexes: we hold the tree's, so its owner was killed."""
    index.with_name(index.name + ".lock").unlink(missing_ok=True)


def _not_freebsd(location: str, cause: str) -> UsageError:
    return UsageError(
        f"{location} is not a FreeBSD source tree: {cause}",
        remedy="name the top folder of a FreeBSD source tree with --source",
    )
