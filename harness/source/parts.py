"""Which files of a tree are built, and what is built from which, in terms of git's tree objects.

A tree object stands for all that is below it. A part of 40,000 files is therefore told by the
few dozen objects that it takes whole, and two of them are compared without reading either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.arch import GUEST

TREE = "tree"
"""The kind of an entry that is a folder."""

_NO_MODE = "000000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of ``git ls-tree``: a file, or a folder with all that is below it.

    Args:
        mode: git's, in octal.
        kind: blob, tree or commit.
        name: the object's hash; empty for no object.
        path: from the top of the tree.
    """

    mode: str
    kind: str
    name: str
    path: str

    @classmethod
    def absent(cls, path: str) -> Entry:
        """What stands for no file, as one side of a difference."""
        return cls(_NO_MODE, "blob", "", path)

    @property
    def is_absent(self) -> bool:
        """Whether it stands for no file."""
        return self.mode == _NO_MODE


@dataclass(frozen=True, slots=True)
class Content:
    """A tree with some files changed.

    Args:
        tree: its name.
        changed: those files, by path; an absent one is removed.
    """

    tree: str
    changed: Mapping[str, Entry] = field(default_factory=dict)

    def but(self, entries: Iterable[Entry]) -> Content:
        """The same with some more files changed."""
        return Content(self.tree, {**self.changed, **{entry.path: entry for entry in entries}})

    def name_of(self, path: str) -> str:
        """What git calls the object at a path (gitrevisions(7))."""
        changed = self.changed.get(path)
        return changed.name if changed else f"{self.tree}:{path}"


@dataclass(frozen=True, slots=True)
class Part:
    """Some paths of a tree; of those above a path, the nearest says whether it is of the part.

    Args:
        taken: paths that are, with what is below them; ``""`` is the whole tree.
        left_out: paths that are not.
    """

    taken: frozenset[str]
    left_out: frozenset[str]

    def holds(self, path: str) -> bool:
        """Whether a file of that path is of the part."""
        for above in (path, *parents(path)):
            if above in self.taken:
                return True
            if above in self.left_out:
                return False
        return False

    def folders(self) -> frozenset[str]:
        """The folders to look into: the top, and those that are only partly of it."""
        marks = (*self.taken, *self.left_out)
        return frozenset({"", *(above for path in marks for above in parents(path))})

    def whole(self, listing: Iterable[Entry]) -> list[Entry]:
        """The entries that make it up, of a listing of (at least) its folders."""
        looked_into = self.folders()
        return [
            entry
            for entry in listing
            if not (entry.kind == TREE and entry.path in looked_into)
            and parent(entry.path) in looked_into
            and self.holds(entry.path)
        ]

    def without(self, paths: Iterable[str]) -> Part:
        """The same, but for some more paths."""
        return Part(self.taken, self.left_out.union(paths))


def parents(path: str) -> Iterator[str]:
    """The folders above a path, the nearest first and the whole tree (``""``) last."""
    while path:
        path = parent(path)
        yield path


def parent(path: str) -> str:
    """The folder that a path is in."""
    return path.rpartition("/")[0]


#: Not built, and never checked out: the large parts of contrib, documents, tests, other
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

#: Of those, what the build needs all the same.
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


#: What a kernel, its toolchain and its loader are built from.
BUILT = Part(taken=frozenset({"", *_TAKEN}), left_out=frozenset(_LEFT_OUT))

#: What the kernel alone is compiled from: two trees equal in these make equal kernels.
KERNEL = _only(*_KERNEL)

#: All else that is built.
TOOLCHAIN = Part(taken=frozenset({""}), left_out=frozenset(_KERNEL))

#: What the loader is compiled from.
LOADER = _only("stand", "share/mk")

#: What decides how a kernel is compiled, and from which files: while it stays, config(8), the
#: tree's makefiles and the tools that ``buildkernel`` builds have nothing new to say.
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

#: ``BUILT`` as pathspecs of git; one list cannot take back what it has left out.
BUILT_PATHSPECS = ((".", *(f":!{path}" for path in _LEFT_OUT)), _TAKEN)

#: Where a file that git does not know yet can matter to a build.
NEW_FILE_PATHSPECS = (*_KERNEL, "stand", "tools/build")
