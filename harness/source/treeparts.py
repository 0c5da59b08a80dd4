"""Parts of a tree, as git's tree objects: the sources of kernel, toolchain and loader.

A tree object identifies everything below it. A part of 40,000 files is therefore identified by a
few dozen objects, and two parts are compared without reading files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.arch import GUEST

TREE = "tree"
"""The kind of an entry that is a directory."""

_NO_MODE = "000000"

#: Names that always lead to the same object.
_FULL_NAME = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?(?:\^\{tree\})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of ``git ls-tree``: a file or a directory.

    Args:
        mode: git's mode, in octal.
        kind: blob, tree or commit.
        name: the object's hash; empty for an absent file.
        path: path relative to the top of the tree.
    """

    mode: str
    kind: str
    name: str
    path: str

    @classmethod
    def absent(cls, path: str) -> Entry:
        """Return the entry of an absent file, one side of a difference."""
        return cls(_NO_MODE, "blob", "", path)

    @property
    def is_absent(self) -> bool:
        """Whether the file is absent."""
        return self.mode == _NO_MODE


@dataclass(frozen=True, slots=True)
class Content:
    """A tree with changed files.

    Args:
        tree: git's name of the tree.
        changed: the changed files, by path; absent ones are removed.
    """

    tree: str
    changed: Mapping[str, Entry] = field(default_factory=dict)

    def but(self, entries: Iterable[Entry]) -> Content:
        """Return the content with more changed files."""
        return Content(self.tree, {**self.changed, **{entry.path: entry for entry in entries}})

    @property
    def is_fixed(self) -> bool:
        """Whether ``tree`` always names the same object."""
        return _FULL_NAME.fullmatch(self.tree) is not None

    def name_of(self, path: str) -> str:
        """Return git's name of the object at a path (gitrevisions(7))."""
        changed = self.changed.get(path)
        return changed.name if changed else f"{self.tree}:{path}"


@dataclass(frozen=True, slots=True)
class Part:
    """A set of paths of a tree. For each path, the nearest included or excluded parent decides.

    Args:
        taken: included paths; ``""`` is the top of the tree.
        left_out: excluded paths.
    """

    taken: frozenset[str]
    left_out: frozenset[str]

    def holds(self, path: str) -> bool:
        """Return whether a file belongs to the part."""
        for above in (path, *parents(path)):
            if above in self.taken:
                return True
            if above in self.left_out:
                return False
        return False

    @property
    def texts(self) -> tuple[str, ...]:
        """All that defines the part, for keys."""
        return ("taken", *sorted(self.taken), "left out", *sorted(self.left_out))

    def directories(self) -> frozenset[str]:
        """Return the directories that are partly included, and the top (``""``)."""
        marks = (*self.taken, *self.left_out)
        return frozenset({"", *(above for path in marks for above in parents(path))})

    def whole(self, listing: Iterable[Entry]) -> list[Entry]:
        """Return the entries of the part from a listing of at least its directories."""
        held = {directory: self.holds(directory) for directory in self.directories()}
        return [
            entry
            for entry in listing
            if not (entry.kind == TREE and entry.path in held)
            and (above := parent(entry.path)) in held
            and (entry.path in self.taken or (held[above] and entry.path not in self.left_out))
        ]

    def without(self, paths: Iterable[str]) -> Part:
        """Return the part without some paths."""
        return Part(self.taken, self.left_out.union(paths))


def parents(path: str) -> Iterator[str]:
    """Generate the directories above a path, the nearest first, and the top (``""``) last."""
    while path:
        path = parent(path)
        yield path


def parent(path: str) -> str:
    """Return the directory that contains a path."""
    return path.rpartition("/")[0]


#: Paths that are not built and not checked out: large parts of contrib, documentation, tests, other
#: architectures.
_LEFT_OUT = (
    "contrib/apr",
    "contrib/apr-util",
    "contrib/arm-optimized-routines",
    "contrib/bearssl",
    "contrib/binutils",
    "contrib/gcc",
    "contrib/gdb",
    "contrib/googletest",
    "contrib/heimdal",
    "contrib/kyua",
    "contrib/ldns",
    "contrib/libarchive",
    "contrib/libevent",
    "contrib/libpcap",
    "contrib/llvm-project",
    "contrib/netbsd-tests",
    "contrib/ntp",
    "contrib/ofed",
    "contrib/sendmail",
    "contrib/sqlite3",
    "contrib/subversion",
    "contrib/tcpdump",
    "contrib/unbound",
    "contrib/wpa",
    "crypto/heimdal",
    "crypto/libecc",
    "crypto/openssh",
    "crypto/openssl",
    "release",
    "share/colldef",
    "share/doc",
    "share/examples",
    "share/i18n",
    "share/man",
    "sys/contrib/device-tree",
    "sys/contrib/openzfs/tests",
    "targets",
    "tests",
    "tools/regression",
    "tools/test",
    "tools/tools",
    *GUEST.left_out,
)

#: Paths below them that the build needs.
_TAKEN = (
    "contrib/llvm-project/compiler-rt/lib/builtins",
    *(
        path
        for path in GUEST.sources
        if path.startswith(tuple(f"{out}/" for out in GUEST.left_out))
    ),
)

_KERNEL = (
    "Makefile",
    "Makefile.inc1",
    "Makefile.sys.inc",
    "include",
    "share/mk",
    "sys",
    "usr.sbin/config",
)


def _only(*paths: str) -> Part:
    return Part(taken=frozenset(paths), left_out=frozenset({""}))


#: The sources of a kernel, its toolchain and its loader.
BUILT = Part(taken=frozenset({"", *_TAKEN}), left_out=frozenset(_LEFT_OUT))

#: The sources of the kernel alone: trees with equal ones build equal kernels.
KERNEL = _only(*_KERNEL)

#: All other sources.
TOOLCHAIN = Part(taken=frozenset({""}), left_out=frozenset(_KERNEL))

#: The sources of the loader.
LOADER = _only("stand", "share/mk")

#: Files that determine how a kernel is compiled, and from which files. While they are unchanged,
#: config(8), the makefiles and the tools that ``buildkernel`` builds give the same results.
CONFIG = _only(
    "Makefile",
    "Makefile.inc1",
    "Makefile.sys.inc",
    "share/mk",
    GUEST.configurations,
    "sys/conf",
    "sys/dev/aic7xxx/aicasm",
    "sys/sys/param.h",
    "usr.sbin/config",
)

#: The tree's own make.
MAKE = _only("contrib/bmake")

#: ``BUILT`` as two lists of git's pathspecs; one list cannot include what it has excluded.
BUILT_PATHSPECS = ((".", *(f":!{path}" for path in _LEFT_OUT)), _TAKEN)

#: Paths at which untracked files can affect a build.
NEW_FILE_PATHSPECS = (*_KERNEL, "stand", "tools/build")
