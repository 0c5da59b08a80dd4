"""A git history on top of a FreeBSD tree, made for a test in a repository of its own.

The tree's objects are borrowed (gitrepository-layout(5), ``objects/info/alternates``), so nothing
is written to it and nothing of it is copied.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.opentree import open_tree

UMA = "sys/vm/uma_core.c"

#: Small sources that every kernel of the slim configuration is compiled from.
SOURCES = (
    "sys/kern/kern_mib.c", "sys/kern/kern_time.c", "sys/kern/kern_uuid.c", "sys/kern/subr_clock.c",
    "sys/kern/subr_hash.c", "sys/kern/subr_hints.c", "sys/kern/subr_rman.c", "sys/kern/subr_sbuf.c",
    "sys/kern/subr_unit.c", "sys/kern/kern_environment.c", "sys/kern/kern_resource.c",
    "sys/kern/sys_pipe.c", "sys/kern/vfs_hash.c", "sys/vm/vm_meter.c", "sys/vm/vm_unix.c",
)  # fmt: skip

#: Documents, and what other machines' kernels are made from.
IDLE = (
    "README.md", "share/doc/made/notes.md", "share/man/man9/zone.9", "sys/arm64/arm64/made.c",
    "sys/riscv/riscv/made.c", "tests/sys/made.c", "sys/powerpc/powerpc/made.c", "UPDATING",
)  # fmt: skip

#: Dies before the allocator is set up (sys/sys/kernel.h, SI_SUB_COPYRIGHT).
STRANGE = """
static void
made_panic(void *arg __unused)
{
	panic("made for a test");
}
SYSINIT(made_panic, SI_SUB_COPYRIGHT, SI_ORDER_SECOND, made_panic, NULL);
"""


@dataclass(slots=True)
class MadeHistory:
    """A repository whose branch ``main`` grows on the HEAD of a tree.

    Args:
        directory: the repository's.
        tree: a git clone of FreeBSD's.
        salt: stands in every change, so that no kernel of another history is like one of these.

    Attributes:
        base: the tree's HEAD, tagged ``base``.
        head: the last commit of ``main``.
    """

    directory: Path
    tree: Path
    salt: str = ""
    base: str = field(init=False)
    head: str = field(init=False)
    count: int = field(default=0, init=False)
    idles: int = field(default=0, init=False)
    changes: int = field(default=0, init=False)
    appended: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        common = run(self.tree, "rev-parse", "--path-format=absolute", "--git-common-dir")
        self.base = run(self.tree, "rev-parse", "HEAD")
        subprocess.run(["git", "init", "--quiet", self.directory], check=True)
        alternates = self.directory / ".git/objects/info/alternates"
        alternates.write_text(f"{common}/objects\n")
        run(self.directory, "tag", "base", self.base)
        self.head = self.base

    def commit(self, subject: str, files: dict[str, bytes], *, parents: Sequence[str] = ()) -> str:
        """A commit on ``main``, or on the first of ``parents``."""
        self.count += 1
        first, *others = parents or (self.head,)
        lines = [
            b"commit refs/heads/made", b"mark :1",
            f"committer Test <test@localhost> {1700000000 + self.count} +0000".encode(),
            _data(subject.encode()), f"from {first}".encode(),
            *(f"merge {other}".encode() for other in others),
        ]  # fmt: skip
        for name, text in files.items():
            lines += [f"M 100644 inline {name}".encode(), _data(text)]
        lines += [b"get-mark :1", b""]
        answer = subprocess.run(
            ["git", "-C", self.directory, "fast-import", "--quiet", "--force",
             "--cat-blob-fd=1"],
            input=b"\n".join(lines), capture_output=True, check=True,
        )  # fmt: skip
        made = answer.stdout.decode().strip()
        if not parents or parents[0] == self.head:
            self.head = made
            run(self.directory, "update-ref", "refs/heads/main", made)
        return made

    def idle(self) -> str:
        """Leaves the kernel as it is."""
        self.idles += 1
        name = IDLE[self.idles % len(IDLE)]
        return self.commit(f"Idle {self.idles}: {name}", {name: f"Idle {self.idles}\n".encode()})

    def change(self, text: str = "", subject: str = "") -> str:
        """Adds a constant (or ``text``) to one source, so that the kernel differs."""
        self.changes += 1
        number = self.changes
        name = SOURCES[number % len(SOURCES)]
        added = (
            text or f'\nstatic const char made_{number}[] __used = "made {self.salt} {number}";\n'
        )
        return self.commit(subject or f"Change {number}: {name}", {name: self.grown(name, added)})

    def unbuildable(self) -> str:
        """Two commits: the first does not compile, the second takes it back."""
        return self._there_and_back("\n#error not yet\n", "Does not build")

    def strange(self) -> str:
        """Two commits: the first panics of something else."""
        return self._there_and_back(STRANGE, "Dies of something else")

    def _there_and_back(self, text: str, subject: str) -> str:
        name = SOURCES[0]
        before = self.appended.get(name, "")
        made = self.commit(subject, {name: self.grown(name, text)})
        self.appended[name] = before
        self.commit(f"Take back: {subject}", {name: self.text_of(name)})
        return made

    def merge(self) -> str:
        """A side branch of two commits, merged."""
        name = "sys/kern/subr_stats.c"
        fork = self.head
        self.change()
        one = self.grown(name, "\nstatic const int made_side = 1;\n")
        side = self.commit("Side 1", {name: one.replace(b"= 1", b"= 1 /* one */")}, parents=(fork,))
        side = self.commit("Side 2", {name: one + b"/* two */\n"}, parents=(side,))
        return self.commit("Merge a side branch", {name: one + b"/* two */\n"},
                           parents=(self.head, side))  # fmt: skip

    def grown(self, name: str, text: str) -> bytes:
        """The tree's file with all that was appended, and ``text``."""
        self.appended[name] = self.appended.get(name, "") + text
        return self.text_of(name)

    def text_of(self, name: str) -> bytes:
        return self.original(name) + self.appended.get(name, "").encode()

    def original(self, name: str) -> bytes:
        """The tree's file as it was committed."""
        return subprocess.run(
            ["git", "-C", self.directory, "cat-file", "blob", f"{self.base}:{name}"],
            capture_output=True, check=True,
        ).stdout  # fmt: skip


def lend(made: MadeHistory) -> None:
    """Let the harness find the history in the tree: its objects go into the harness's own store.

    The tree's toolchain serves it so, and nothing is written to the tree.
    """
    home = open_tree(str(made.tree), Workspace.of_user(), HostRunner()).home
    objects = made.directory / ".git/objects"
    for path in objects.rglob("*"):
        target = home / "git/objects" / path.relative_to(objects)
        if path.is_file() and path.parent.name != "info" and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def run(directory: Path, *words: str) -> str:
    settings = ("-c", "safe.directory=*", "-c", "gc.auto=0")
    return subprocess.run(
        ["git", "-C", directory, *settings, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def _data(text: bytes) -> bytes:
    return b"data %d\n%s" % (len(text), text)


def long_history(
    made: MadeHistory,
    culprit: bytes,
    *,
    size: int = 200,
    at: float = 0.68,
    strange: bool = True,
) -> str:
    """``size`` commits, half of them idle; three do not build, two panic of something else.

    Args:
        made: the history, with nothing but its base.
        culprit: what ``uma_core.c`` becomes at the culprit.
        size: how many commits.
        at: where among them the culprit is.
        strange: two panic of something else.

    Returns:
        The culprit's hash.
    """
    other = made.strange if strange else made.change
    events = {
        int(size * 0.2): made.unbuildable, int(size * 0.33): other,
        int(size * 0.5): made.unbuildable, int(size * 0.6): made.merge,
        int(size * 0.75): other, int(size * 0.84): made.unbuildable,
    }  # fmt: skip
    found = ""
    while made.count < size:
        event = next((place for place in events if place <= made.count), None)
        if event is not None:
            events.pop(event)()
        elif not found and made.count >= size * at:
            found = made.commit("Simplify keg_fetch_slab()", {UMA: culprit})
        elif made.idles < made.count / 2:
            made.idle()
        else:
            made.change()
    return found
