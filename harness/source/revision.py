"""Snapshots: the content of a tree to build, with its changes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.source.codefacts import Facts

#: The file with a tree's release.
NEWVERS = "sys/conf/newvers.sh"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The exact content of a tree, as git objects.

    Args:
        location: the directory or URL that the user named.
        commit: the commit of the revision, or of HEAD; None for a plain directory.
        dirty: whether it contains uncommitted changes.
        patch: the patch's SHA-256, 12 digits; None without a patch.
        mutant: the mutant's name; None without a mutant.
        tree: git's hash of all files that are checked out.
        kernel: a hash of the kernel's sources.
        toolchain: a hash of the other sources.
        loader: a hash of the loader's sources.
        config: a hash of the files that config(8) reads.
        make: a hash of the sources of make(1).
        release: the tree's release, such as 13.2-RELEASE.
        llvm: the major version of the LLVM in the tree.
        base: the baseline: the commit, or the directory's tree, without patch and mutant.
        facts: facts of its code, by the name of their reader.
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
        """A short name for reports: ``1a2b3c4d5e dirty +mutant drop-commit``."""
        words = [self.commit[:10] if self.commit else f"directory {self.tree[:10]}"]
        if self.dirty:
            words.append("dirty")
        if self.patch:
            words.append(f"+patch {self.patch}")
        if self.mutant:
            words.append(f"+mutant {self.mutant}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Release:
    """The release of a tree, from ``sys/conf/newvers.sh``."""

    revision: str
    branch: str

    @property
    def major(self) -> int:
        """The major version: 13 for 13.2."""
        return int(self.revision.split(".")[0])

    def __str__(self) -> str:
        return f"{self.revision}-{self.branch}"


def parse_release(newvers: str) -> Release:
    """Return ``REVISION`` and ``BRANCH`` from the text of ``sys/conf/newvers.sh``.

    Raises:
        UsageError: one of them is missing, the release is before 13, or the system is a descendant
            of FreeBSD with a name, and thus version numbers, of its own.
    """
    found = {
        name: re.search(rf'^{name}="?(?:\$\{{BRANCH_OVERRIDE:-)?([\w.-]+)', newvers, re.MULTILINE)
        for name in ("REVISION", "BRANCH", "TYPE")
    }
    revision, branch, system = found["REVISION"], found["BRANCH"], found["TYPE"]
    if revision is None or branch is None or not re.match(r"\d+\.", revision[1], re.ASCII):
        raise UsageError(
            "sys/conf/newvers.sh has no REVISION or BRANCH",
            remedy="use a FreeBSD source tree, 13.0 or later",
        )
    release = Release(revision[1], branch[1])
    if system is not None and system[1] != "FreeBSD":
        raise UsageError(
            f"the tree is {system[1]} {release}, not FreeBSD",
            remedy="use a FreeBSD source tree, 13.0 or later",
        )
    if release.major < 13:
        raise UsageError(
            f"the tree is FreeBSD {release}; releases before 13 cannot be built on other systems",
            remedy="use a tree of 13.0 or later",
        )
    return release


def parse_llvm_major(version_inc: str) -> int:
    """Return the major version in a tree's ``clang/Basic/Version.inc``.

    Raises:
        UsageError: the version is missing.
    """
    found = re.search(r"CLANG_VERSION_MAJOR\s+(\d+)", version_inc)
    if found is None:
        raise UsageError(
            "lib/clang/include/clang/Basic/Version.inc has no CLANG_VERSION_MAJOR",
            remedy="use a complete FreeBSD source tree",
        )
    return int(found[1])


def combined_hash(parts: tuple[str, ...]) -> str:
    """Return a hash of several strings, 40 digits; their order matters."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


def not_freebsd(location: str, cause: str) -> UsageError:
    """Return the error for a directory or revision that is not a FreeBSD source tree."""
    return UsageError(
        f"{location} is not a FreeBSD source tree: {cause}",
        remedy="name the top directory of a FreeBSD source tree: --source DIR",
    )
