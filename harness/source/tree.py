"""FreeBSD source trees: read in place, checked out into a directory of the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.errors import InfraError, UsageError, given_with
from harness.host.workspace import host_refused, make_directory
from harness.source import treeparts
from harness.source.baseline import BaselineReader
from harness.source.clone import clone_once, cloned
from harness.source.codefacts import NOTHING, CodeReaders, Facts
from harness.source.files import clone_content, directory_tree
from harness.source.git import (
    DamagedObjectsError,
    Repository,
    forget_lock,
    is_damage,
)
from harness.source.missing import lacking
from harness.source.ownfacts import kept_facts, own_facts
from harness.source.partobjects import make_part, part_hashes
from harness.source.patch import read_patch
from harness.source.revision import (
    NEWVERS,
    Release,
    Snapshot,
    not_freebsd,
    parse_llvm_major,
    parse_release,
)
from harness.source.treeparts import Content, Entry

if TYPE_CHECKING:
    from harness.source.change import Change
    from harness.source.codefacts import CodeReader, NamedChange

T = TypeVar("T")

_CHECKOUT_INDEX = "checkout.index"
_REGULAR = ("100644", "100755")
_LLVM_VERSION = "lib/clang/include/clang/Basic/Version.inc"


@dataclass(frozen=True, slots=True)
class TreeContent:
    """A revision, or the user's files.

    Args:
        commit: the commit of the revision, or of HEAD; None for a plain directory.
        content: its files.
        dirty: whether it contains uncommitted changes.
        release: its release.
        llvm: the major version of the LLVM in the tree.
    """

    commit: str | None
    content: Content
    dirty: bool
    release: Release
    llvm: int

    @property
    def name(self) -> str:
        """The commit, or git's name of the tree."""
        return self.commit or self.content.tree


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A tree of the user, with its directory in the cache.

    Args:
        location: the directory or URL that the user named.
        files: the user's work tree; None for a URL or a bare repository.
        repository: the harness's git directory for the tree.
        home: the tree's directory in the cache, with git directory, indexes, checkout and objects.
        versioned: whether it has revisions.
        knowledge: readers and named changes of its code.
        taken: a dictionary in which snapshots are kept and reused; None: snapshots are not kept.
    """

    location: str
    files: Path | None
    repository: Repository
    home: Path
    versioned: bool
    knowledge: CodeReaders = NOTHING
    taken: dict[Change, Snapshot] | None = None

    @property
    def checkout_directory(self) -> Path:
        """The directory of ``checkout``, one for all revisions, so that builds are incremental."""
        return self.home / "src"

    def snapshot(self, change: Change) -> Snapshot:
        """Return the content to build. The caller holds ``being_read``.

        Raises:
            UsageError: the revision does not exist, the patch or mutant does not apply, or the tree
                is not FreeBSD's.
        """
        if self.taken is not None and change in self.taken:
            return self.taken[change]
        found = self.base(change)
        commit, content, base = found.commit, found.content, found.name
        patch = read_patch(change.patch, self.location) if change.patch else None
        if patch is not None:
            content = patch.applied(self.repository, content, self.home / "patched.index")
        if change.mutant is not None:
            content = self._changed(content, self.knowledge.change(change.mutant))
        for case in change.assumed:
            content = self._changed(content, self.knowledge.fix(case))
        with ThreadPoolExecutor(1) as beside:
            read = beside.submit(self._facts, content, base)
            built = self._built(content)
            hashes = part_hashes(self.repository, built)
        snapshot = Snapshot(
            location=self.location,
            commit=commit,
            dirty=found.dirty,
            patch=patch.digest if patch else None,
            mutant=change.mutant,
            tree=built,
            kernel=hashes[treeparts.KERNEL],
            toolchain=hashes[treeparts.TOOLCHAIN],
            loader=hashes[treeparts.LOADER],
            config=hashes[treeparts.CONFIG],
            make=hashes[treeparts.MAKE],
            release=str(found.release),
            llvm=found.llvm,
            base=base,
            facts=read.result(),
        )
        if self.taken is not None:
            self.taken[change] = snapshot
        return snapshot

    def base(self, change: Change) -> TreeContent:
        """Return the revision of a change, or the user's files, without what is applied to it.

        The caller holds ``being_read``. Raises as ``snapshot``.
        """
        (self.home / "last-use").touch()  # for harness gc
        commit = self._head(change)
        if change.revision is None and self.files is not None:
            content, dirty = self._user_files(self.files)
        else:
            content, dirty = Content(f"{commit or 'HEAD'}^{{tree}}"), False
        newvers, llvm_version = self._texts(content, NEWVERS, _LLVM_VERSION)
        return TreeContent(
            commit,
            content,
            dirty,
            parse_release(newvers.decode("utf-8", "replace")),
            parse_llvm_major(llvm_version.decode("utf-8", "replace")),
        )

    def has_file(self, change: Change, path: str) -> bool:
        """Return whether the revision of a change has a file, or has it in the user's files.

        The caller holds ``being_read``. Raises as ``snapshot``.
        """
        content = self.base(change).content
        changed = content.changed.get(path)
        if changed is not None:
            return not changed.is_absent
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", content.name_of(path))
        return self.repository.git(*words, check=False).returncode == 0

    def texts(self, snapshot: Snapshot, *paths: str) -> list[str]:
        """Return the texts of files of a snapshot that every FreeBSD tree has.

        Raises:
            UsageError: a file is missing.
        """
        texts = self._texts(Content(snapshot.tree), *paths)
        return [text.decode("utf-8", "replace") for text in texts]

    def baselines(self, code: CodeReader) -> BaselineReader:
        """Return the reader of a change's baseline."""
        return BaselineReader(self.repository, code, self.home / f"baselines-{code.name}.json")

    def _facts(self, content: Content, base: str) -> Mapping[str, Facts]:
        own = own_facts(
            self.knowledge, content, lambda paths: self._texts(content, *paths), self.home
        )
        readers = self.knowledge.readers
        return {code.name: self._facts_of(code, own[code.name], base) for code in readers}

    def _facts_of(self, code: CodeReader, own: Mapping[str, bool] | None, base: str) -> Facts:
        """Return the facts of the code; if it has no known form, those of its baseline."""
        if own is not None:
            return Facts(own)
        reader, label = self.baselines(code), self.label_of(base)

        def read() -> Facts:
            found = reader.read(base, label, history=self.versioned)
            return Facts(found.values, found.why)

        version = self.knowledge.version() if Content(base).is_fixed else ""
        inputs = (version, code.name, base, label)
        return kept_facts(self.home, inputs, read) if version else read()

    def label_of(self, base: str) -> str:
        """Return the name of a baseline for reports."""
        return base[:10] if self.versioned else "the directory"

    def checkout(self, snapshot: Snapshot) -> Path:
        """Check out a snapshot into the cache; unchanged files are not written.

        The caller holds the tree's lock.
        """
        index = self.home / _CHECKOUT_INDEX
        forget_lock(index)
        try:
            self._read_tree(snapshot.tree, index)
        except InfraError as error:
            # The state of the directory is unknown.
            self._lacking.unlink(missing_ok=True)
            if not is_damage(error):
                raise
            index.unlink()
            shutil.rmtree(self.checkout_directory)
            self._read_tree(snapshot.tree, index)
        return self.checkout_directory

    def checkout_below(self, snapshot: Snapshot, path: str, directory: Path) -> Path:
        """Check out the files below a path into a directory of the cache, as ``checkout``.

        The caller holds a lock for that directory.
        """
        return self.checkout_into(f"{snapshot.tree}:{path}", directory)

    def checkout_into(self, tree: str, directory: Path) -> Path:
        """Check out git's tree object into a directory of the cache, as ``checkout``.

        The caller holds a lock for that directory.
        """
        index = directory.with_name(f"{directory.name}.index")
        forget_lock(index)
        make_directory(directory)
        words = ("read-tree", "--reset", "-u", tree)
        try:
            self.repository.git(*words, index=index, work_tree=directory)
        except InfraError as error:
            if not is_damage(error):
                raise
            index.unlink(missing_ok=True)
            shutil.rmtree(directory)
            make_directory(directory)
            self.repository.git(*words, index=index, work_tree=directory)
        return directory

    def is_checked_out(self, tree: str) -> bool:
        """Return whether ``checkout_directory`` holds the files of a git tree."""
        index = self.home / _CHECKOUT_INDEX
        try:
            return self.repository.git("write-tree", index=index).text.strip() == tree
        except InfraError:
            return False

    def write_named(self, tree: str, names: Collection[str], directory: Path) -> None:
        """Write the files of a git tree with some names, in whatever directory, below a directory.

        Their times are 0, as gdb warns of sources that are newer than the program.

        Raises:
            InfraError: the objects are gone, or a file cannot be written.
        """
        entries = [
            each
            for each in self.repository.files(tree)
            if each.mode in _REGULAR
            and Path(each.path).name in names
            and ".." not in Path(each.path).parts
            and not each.path.startswith("/")
        ]
        texts = self.repository.blobs([each.name for each in entries])
        for entry, text in zip(entries, texts, strict=True):
            path = directory / entry.path
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text or b"")
                os.utime(path, (0, 0))
            except OSError as error:
                raise host_refused(path, error) from error

    def heal(self) -> None:
        """Remove all git objects that can be written or cloned again, and clone again.

        The user's repository is not changed. The caller holds the tree's locks.

        Raises:
            InfraError: cloning failed.
        """
        for path in (self._lacking, *self.home.glob("*.index")):
            if path.name != _CHECKOUT_INDEX:  # needed to keep unchanged files
                path.unlink(missing_ok=True)
        shutil.rmtree(self.repository.objects, ignore_errors=True)
        if self.files is None:
            shutil.rmtree(cloned(self.home), ignore_errors=True)
            clone_once(self.location, self.home, self.repository.runner)
        self.repository.refresh()

    def _read_tree(self, tree: str, index: Path) -> None:
        directory = self.checkout_directory
        make_directory(directory)
        self.repository.git("read-tree", "--reset", "-u", tree, index=index, work_tree=directory)

    def require_revisions(self, revision: str) -> None:
        """Check that the tree has revisions.

        Raises:
            UsageError: the tree is a plain directory.
        """
        if not self.versioned:
            raise UsageError(
                f"there is no revision {revision!r} in {self.location}: it is not a git clone",
                remedy="name a git clone: --source DIR",
            )

    def _head(self, change: Change) -> str | None:
        if change.revision is None:
            return self.repository.commit("HEAD") if self.versioned else None
        with given_with(change.option):
            self.require_revisions(change.revision)
            return self.repository.commit(change.revision)

    @property
    def _lacking(self) -> Path:
        return self.home / "lacking.json"

    def _user_files(self, files: Path) -> tuple[Content, bool]:
        """Return the user's files, and whether they differ from HEAD."""
        if self.versioned:
            return clone_content(self.repository, files, self.home / "snapshot.index")
        # A separate index, because its objects are elsewhere if a clone becomes a plain directory.
        return Content(directory_tree(self.repository, files, self.home / "plain.index")), False

    def _texts(self, content: Content, *paths: str) -> list[bytes]:
        """Return the texts of files that every FreeBSD tree has."""
        texts = self.repository.blobs([content.name_of(path) for path in paths])
        for path, text in zip(paths, texts, strict=True):
            if text is None:
                self._require_objects([path])
                raise not_freebsd(self.location, f"it has no {path}")
        return [text for text in texts if text is not None]

    def _changed(self, content: Content, change: NamedChange) -> Content:
        path = str(change.path)
        changed = change.apply(*self._texts(content, path))
        blob = self.repository.git("hash-object", "-w", "--stdin", stdin=changed).text.strip()
        return content.but([Entry("100644", "blob", blob, path)])

    def _built(self, content: Content) -> str:
        """Return the tree of the files that are built and that the clone has."""
        part = treeparts.BUILT.without(content.changed)
        changed = [
            entry
            for entry in content.changed.values()
            if not entry.is_absent and treeparts.BUILT.holds(entry.path)
        ]
        whole = make_part(self.repository, content.tree, part, changed)
        gone = lacking(self.repository, whole, self._lacking)
        self._require_objects(gone)
        return (
            make_part(self.repository, content.tree, part.without(gone), changed) if gone else whole
        )

    def _require_objects(self, missing: Sequence[str]) -> None:
        """Raise DamagedObjectsError if an object of a plain directory's file is missing."""
        if self.files is not None and not self.versioned:
            for path in missing:
                if (self.files / path).is_file():
                    raise DamagedObjectsError(f"git objects are missing: that of {path}")
