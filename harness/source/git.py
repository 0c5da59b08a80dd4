"""Access to git repositories by plumbing commands; the user's repository is never changed.

Every command runs in a git directory of the harness (``harness.source.gitdir``), and writes to an
index, an object store and a work tree of the harness.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError, UsageError
from harness.host.process import Finished, Runner, failure
from harness.source.derived import Derived
from harness.source.gitdir import ENVIRONMENT, UserRepository, serve, transfer_environment
from harness.source.treeparts import TREE, Entry, parent

#: Errors of git for an object or a pack that it cannot read. Some come with exit status 0, as for a
#: missing object.
_DAMAGE = re.compile(
    r"^(?:error|fatal): (?:.*\bis corrupt|object file .* is empty|unable to unpack|inflate: "
    r"|corrupt loose object|hash mismatch|garbage at end of loose object|header for .* too long"
    r"|packfile |index file .*\.idx|wrong (?:packed )?index|bad pack|unable to (?:read|parse) sha1"
    r"|unable to read tree|unable to stream|cannot unpack packed object"
    r"|failed to (?:validate|read delta)"
    r"|non-monotonic index|multi-pack-index|bad offset|(?:unknown|bad) object type)",
    re.MULTILINE,
)


class DamagedObjectsError(InfraError):
    """git cannot read an object of the user's repository, or of the harness's."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git directory of the harness, through which the user's repository is read.

    Args:
        git_dir: the harness's git directory.
        source: the user's repository; None for a plain directory.
        runner: starts git.
    """

    git_dir: Path
    source: UserRepository | None
    runner: Runner

    @classmethod
    def opened(cls, git_dir: Path, source: UserRepository | None, runner: Runner) -> Repository:
        """Return a repository whose git directory is up to date.

        Raises:
            InfraError: the git directory cannot be written.
            UsageError: the user's git configuration cannot be read.
        """
        repository = cls(git_dir, source, runner)
        repository.refresh()
        return repository

    def refresh(self) -> None:
        """Update the git directory from the user's repository (``harness.source.gitdir.serve``)."""
        serve(self.git_dir, self.source, self.runner)

    @property
    def objects(self) -> Path:
        """The object store of the harness's git directory."""
        return self.git_dir / "objects"

    @property
    def derived(self) -> Derived:
        """What was derived from the objects."""
        return Derived(self.objects)

    @property
    def place(self) -> Path:
        """The user's git directory, for messages."""
        return self.source.git_dir if self.source else self.git_dir

    @property
    def is_partial(self) -> bool:
        """Whether missing objects can be fetched from a promisor remote."""
        return '\tpromisor = "true"\n' in self._configuration()

    @property
    def _hash(self) -> str:
        """The hash algorithm of object names, by its name in ``hashlib``."""
        sha256 = '\tobjectformat = "sha256"\n' in self._configuration()
        return "sha256" if sha256 else "sha1"

    def _configuration(self) -> str:
        return (self.git_dir / "config").read_text("utf-8", "surrogateescape")

    def git(
        self,
        *arguments: str | Path,
        index: Path | None = None,
        work_tree: Path | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Finished:
        """Run git.

        Args:
            arguments: the command and its arguments.
            index: the index file to use.
            work_tree: the work tree; None for commands that need none.
            stdin: data for standard input.
            check: raise if git's exit status is not 0.

        Raises:
            InfraError: git is not installed or (``check``) failed.
            DamagedObjectsError: git cannot read an object.
        """
        # Any command may have to fetch objects of a partial clone.
        env = transfer_environment() if self.is_partial else dict(ENVIRONMENT)
        env["GIT_DIR"] = str(self.git_dir)
        if self.source is not None:
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = self.source.alternate
        if index is not None:
            env["GIT_INDEX_FILE"] = str(index)
        if work_tree is not None:
            env["GIT_WORK_TREE"] = str(work_tree)
        finished = self.runner.run(
            ["git", *arguments], cwd=work_tree, env=env, stdin=stdin, check=False
        )
        if finished.stderr:
            _refuse_damage(finished, self.place)
        if check and finished.returncode != 0:
            raise failure(finished)
        return finished

    def lines(
        self, *arguments: str | Path, index: Path | None = None, work_tree: Path | None = None
    ) -> list[str]:
        """Return the NUL-separated records that a command prints with ``-z``."""
        output = self.git(*arguments, index=index, work_tree=work_tree).stdout
        return [_decoded(record) for record in output.split(b"\0")[:-1]]

    def blobs(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the contents of objects by name (gitrevisions(7)); None for missing ones."""
        request = "".join(f"{name}\n" for name in names).encode()
        output = self.git("cat-file", "--batch", stdin=request).stdout
        found: list[bytes | None] = []
        at = 0
        for _ in names:
            end = output.find(b"\n", at)
            words = output[at : end if end >= 0 else None].split(b" ")
            at = end + 1 if end >= 0 else len(output)
            if len(words) != 3 or not words[2].isdigit():
                found.append(None)
                continue
            size = int(words[2])
            found.append(output[at : at + size])
            at += size + 1
        return found

    def missing(self, names: Iterable[str]) -> set[str]:
        """Return the missing ones of some objects."""
        names = tuple(names)
        if not names:
            return set()
        request = "".join(f"{name}\n" for name in names).encode()
        answers = self.git("cat-file", "--batch-check", "--buffer", stdin=request).text
        return {line.split()[0] for line in answers.splitlines() if line.endswith(" missing")}

    def listing(self, tree: str, directories: Iterable[str]) -> list[Entry]:
        """Return the entries of some directories of a tree (``""`` is its top), not recursively."""
        below = [f"{directory}/" for directory in directories if directory]
        with ThreadPoolExecutor(2) as both:
            top = both.submit(self.lines, "ls-tree", "-z", tree)
            # With -t, a directory is listed even if another path is below it.
            deeper = both.submit(self.lines, "ls-tree", "-z", "-t", tree, *below)
        records = [*top.result(), *(deeper.result() if below else ())]
        return [_entry(record) for record in dict.fromkeys(records)]

    def entries(self, tree: str, paths: Sequence[str]) -> list[Entry]:
        """Return the entries of a tree at some paths."""
        return [_entry(record) for record in self.lines("ls-tree", "-z", tree, "--", *paths)]

    def files(self, tree: str) -> list[Entry]:
        """Return all files of a tree."""
        return [_entry(record) for record in self.lines("ls-tree", "-r", "-z", tree)]

    def differences(self, old: str, new: str) -> list[tuple[Entry, Entry]]:
        """Return the files that differ between two trees, as pairs of old and new."""
        return pairs(self.lines("diff-tree", "-r", "--no-renames", "-z", old, new))

    def make_tree(self, entries: Iterable[Entry]) -> str:
        """Write a tree with these entries, of any directories, and return its name."""
        directories: defaultdict[str, list[Entry]] = defaultdict(list, {"": []})
        for entry in entries:
            directories[parent(entry.path)].append(entry)
        named: dict[str, str] = {}
        algorithm = self._hash
        for depth in range(max(map(_depth, directories)), -1, -1):
            for directory in [one for one in directories if _depth(one) == depth]:
                named[directory] = tree_name(directories[directory], algorithm)
                if directory:
                    entry = Entry("040000", TREE, named[directory], directory)
                    directories[parent(directory)].append(entry)
        # All trees in one command, which requires their names in advance; git's must be equal.
        records = ("".join(map(_record, directories[directory])) for directory in named)
        stdin = "\0".join(records).encode("utf-8", "surrogateescape")
        given = self.git("mktree", "-z", "--missing", "--batch", stdin=stdin).text.split()
        if given != list(named.values()):
            raise InfraError(
                f"git does not name the trees of {self.place} by {algorithm}",
                remedy=f"check the repository: git --git-dir={self.place} fsck",
            )
        return named[""]

    def write_index(self, index: Path, work_tree: Path | None = None) -> str:
        """Write the tree of an index, whose objects may be missing, and return its name."""
        words = ("write-tree", "--missing-ok")
        return self.git(*words, index=index, work_tree=work_tree).text.strip()

    def fill_index(self, index: Path, entries: Iterable[Entry]) -> None:
        """Add files to an index, and remove absent ones."""
        none = "0" * (hashlib.new(self._hash).digest_size * 2)
        records = (f"{entry.mode} {entry.name or none}\t{entry.path}\0" for entry in entries)
        stdin = "".join(records).encode("utf-8", "surrogateescape")
        self.git("update-index", "-z", "--index-info", index=index, stdin=stdin)

    def index_files(self, index: Path) -> list[Entry]:
        """Return all files of an index."""
        found = []
        for record in self.lines("ls-files", "--stage", "-z", index=index):
            meta, path = record.split("\t", 1)
            mode, name, _ = meta.split(" ")
            found.append(Entry(mode, "blob", name, path))
        return found

    def commit(self, revision: str) -> str:
        """Return the full hash of a commit.

        Raises:
            UsageError: there is no such revision.
        """
        found = self.git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
            check=False,
        )  # fmt: skip
        if found.returncode != 0:
            raise UsageError(
                f"there is no revision {revision!r} in {self.place}",
                remedy="name a commit, tag or branch of this clone, or fetch newer ones: git fetch",
            )
        return found.text.strip()

    def parent(self, revision: str) -> str:
        """Return the first parent of a commit.

        Raises:
            UsageError: the commit has no parent.
        """
        commit = self.commit(revision)
        found = self.git("rev-parse", "--verify", "--quiet", f"{commit}^1", check=False)
        if found.returncode != 0:
            raise UsageError(
                f"revision {commit[:12]} has no parent",
                remedy="name a later commit, or both sides: --before A --after B",
            )
        return found.text.strip()


def tree_name(entries: Iterable[Entry], algorithm: str = "sha1") -> str:
    """Return git's name of the tree with these entries, all of one directory."""
    rows = []
    for entry in entries:
        name = entry.path.rpartition("/")[2].encode("utf-8", "surrogateescape")
        row = entry.mode.lstrip("0").encode() + b" " + name + b"\0" + bytes.fromhex(entry.name)
        rows.append((name + b"/" if entry.kind == TREE else name, row))
    body = b"".join(row for _, row in sorted(rows))
    header = f"tree {len(body)}".encode() + b"\0"
    return hashlib.new(algorithm, header + body, usedforsecurity=False).hexdigest()


def forget_lock(index: Path) -> None:
    """Remove git's stale lock of an index. The caller holds the tree's lock, so it has no owner."""
    index.with_name(index.name + ".lock").unlink(missing_ok=True)


def is_damage(error: InfraError) -> bool:
    """Return whether git found a damaged index, as after a power failure of the host."""
    return "index file" in error.detail


def _refuse_damage(finished: Finished, git_dir: Path) -> None:
    """Raise DamagedObjectsError if git printed that an object is damaged."""
    text = finished.stderr.decode("utf-8", "replace")
    found = _DAMAGE.search(text)
    if found is not None:
        line = text[found.start() :].partition("\n")[0]
        raise DamagedObjectsError(
            f"git objects are damaged: {line}",
            remedy=f"check the repository: git --git-dir={git_dir} fsck",
            detail="\n".join(text.splitlines()[-20:]),
        )


def pairs(fields: Sequence[str]) -> list[tuple[Entry, Entry]]:
    """Return the records of git's raw diff format with ``-z``, as pairs of old and new."""
    found = []
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        before, after, was, now, _ = meta.removeprefix(":").split(" ")
        found.append((_side(before, was, path), _side(after, now, path)))
    return found


def _side(mode: str, name: str, path: str) -> Entry:
    entry = Entry(mode, "blob", name, path)
    return Entry.absent(path) if entry.is_absent else entry


def _entry(record: str) -> Entry:
    meta, path = record.split("\t", 1)
    mode, kind, name = meta.split(" ")
    return Entry(mode, kind, name, path)


def _record(entry: Entry) -> str:
    """Return an entry in the input format of ``git mktree -z``."""
    return f"{entry.mode} {entry.kind} {entry.name}\t{entry.path.rpartition('/')[2]}\0"


def _decoded(record: bytes) -> str:
    return record.decode("utf-8", "surrogateescape")


def _depth(directory: str) -> int:
    return directory.count("/") + 1 if directory else 0
