"""What is to be built: a revision of a tree, with changes on top."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.source.knowledge import Facts


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The exact content of a tree, as git objects.

    Args:
        location: the folder or URL that the user named.
        commit: of the revision, or of HEAD; None for a plain folder.
        dirty: uncommitted changes are in it.
        patch: SHA-256 of the patch on top, 12 digits; None without.
        mutant: its name; None without.
        tree: git's hash of all that is checked out.
        kernel: a hash of what the kernel is made from.
        toolchain: a hash of the rest.
        loader: a hash of what the loader is made from.
        config: a hash of what config(8) reads of the tree.
        make: a hash of the tree's own make.
        release: what the tree says it is, such as 13.2-RELEASE.
        llvm: the major version of the LLVM that the tree brings.
        base: the commit, or the directory's tree, below patch, mutant and uncommitted changes.
        facts: of its code, by who knows of them.
    """

    location: str
    commit: str | None
    dirty: bool
    patch: str | None
    mutant: str | None
    tree: str
    kernel: str
    toolchain: str
    loader: str
    config: str
    make: str
    release: str
    llvm: int
    base: str
    facts: Mapping[str, Facts]

    @property
    def label(self) -> str:
        """A short name for people: ``314a92d5a1 dirty +mutant drop-commit``."""
        words = [self.commit[:10] if self.commit else f"folder {self.tree[:10]}"]
        if self.dirty:
            words.append("dirty")
        if self.patch:
            words.append(f"+patch {self.patch}")
        if self.mutant:
            words.append(f"+mutant {self.mutant}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Release:
    """The version that a tree says it is, from ``sys/conf/newvers.sh``."""

    revision: str
    branch: str

    @property
    def major(self) -> int:
        """13 of 13.2."""
        return int(self.revision.split(".")[0])

    def __str__(self) -> str:
        return f"{self.revision}-{self.branch}"


def parse_release(newvers: str) -> Release:
    """Read ``REVISION`` and ``BRANCH`` from the text of ``sys/conf/newvers.sh``.

    Raises:
        UsageError: one of them is not there, or the release is before 13.
    """
    found = {
        name: re.search(rf'^{name}="?(?:\$\{{BRANCH_OVERRIDE:-)?([\w.-]+)', newvers, re.MULTILINE)
        for name in ("REVISION", "BRANCH")
    }
    revision, branch = found["REVISION"], found["BRANCH"]
    if revision is None or branch is None or not re.match(r"\d+\.", revision[1], re.ASCII):
        raise UsageError(
            "sys/conf/newvers.sh does not say which release the tree is",
            remedy="name a FreeBSD source tree, 13.0 or later",
        )
    release = Release(revision[1], branch[1])
    if release.major < 13:
        raise UsageError(
            f"the tree is FreeBSD {release}; releases before 13 cannot be built on other systems",
            remedy="name a tree of 13.0 or later",
        )
    return release


def parse_llvm_major(version_inc: str) -> int:
    """The major version in a tree's ``clang/Basic/Version.inc``.

    Raises:
        UsageError: it is not there.
    """
    found = re.search(r"CLANG_VERSION_MAJOR\s+(\d+)", version_inc)
    if found is None:
        raise UsageError(
            "the tree does not say which LLVM it is built with",
            remedy="check that lib/clang/include/clang/Basic/Version.inc is whole",
        )
    return int(found[1])


def combined_hash(parts: tuple[str, ...]) -> str:
    """One hash, 40 digits, of several strings; their order counts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
