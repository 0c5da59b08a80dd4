"""A source tree that takes a moment to create, with all files that are read before make.

It is not FreeBSD's: it contains only the few lines from which the release is read.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.subsystems.table import SUBSYSTEMS

NEWVERS = "sys/conf/newvers.sh"
LLVM_VERSION = "lib/clang/include/clang/Basic/Version.inc"
UMA = "sys/vm/uma_core.c"
DOMAINSET = "sys/vm/vm_domainset.c"
CONFIGURE = "contrib/bmake/configure"

FILES: Mapping[str, str] = {
    **{path: "int nothing;\n" for subsystem in SUBSYSTEMS for path in subsystem.paths},
    NEWVERS: 'TYPE="FreeBSD"\nREVISION="13.2"\nBRANCH="RELEASE"\n',
    LLVM_VERSION: "#define CLANG_VERSION 14.0.5\n#define CLANG_VERSION_MAJOR 14\n",
    UMA: "/* No allocator here. */\nint uma;\n",
    CONFIGURE: "echo configure: this tree has no make >&2\nexit 1\n",
    "contrib/bmake/mk/sys.mk": "",
    "sys/kern/kern_main.c": "int main;\n",
    "share/man/man9/zone.9": "Not built, so not checked out.\n",
}


def plain_tree(directory: Path, **changed: str) -> Path:
    """A directory with the files; ``changed`` are texts by the names above, in lower case."""
    named = {"newvers": NEWVERS, "llvm_version": LLVM_VERSION, "uma": UMA, "configure": CONFIGURE}
    files = {**FILES, **{named[name]: text for name, text in changed.items()}}
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def git_tree(directory: Path, **changed: str) -> Path:
    """The same as a clone with one commit, tagged ``first``."""
    return copied(directory, _first_commit, **changed)


def _first_commit(directory: Path, **changed: str) -> None:
    plain_tree(directory, **changed)
    git(directory, "init", "--quiet", "--template=", "--initial-branch=main")
    commit(directory, "first")


def numbered_revisions(directory: Path, count: int) -> list[str]:
    """A clone with revisions ``c0`` to the last, each with a kernel of its own; gives their hashes.

    ``first`` is before ``c0``.
    """
    copied(directory, _numbered_commits, count=count)
    return [
        (directory / f".git/refs/tags/c{number}").read_text().strip() for number in range(count)
    ]


def _numbered_commits(directory: Path, count: int) -> None:
    git_tree(directory)
    for number in range(count):
        (directory / "sys/kern/kern_main.c").write_text(f"int main = {number};\n")
        commit(directory, f"c{number}")


def copied(directory: Path, make: Callable[..., None], **arguments: str | int) -> Path:
    """A copy of the repository that ``make`` creates in a directory; it is called once."""
    for name, content in _files(make, **arguments).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    git(directory, "update-index", "--refresh")  # to the times of these files
    return directory


@functools.cache
def _files(make: Callable[..., None], **arguments: str | int) -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        make(made, **arguments)
        paths = (path for path in made.rglob("*") if path.is_file())
        return {str(path.relative_to(made)): path.read_bytes() for path in paths}


def commit(directory: Path, tag: str) -> str:
    """Commit all that is there, under a tag; gives the hash."""
    git(directory, "add", "--all", "--force")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", tag)
    git(directory, "tag", tag)
    return git(directory, "rev-parse", "HEAD")


def git(directory: Path, *words: str) -> str:
    settings = ("user.name=Test", "user.email=test@localhost", "maintenance.auto=false")
    options = (word for setting in settings for word in ("-c", setting))
    argv = ["git", "-C", str(directory), *options, *words]
    finished = subprocess.run(argv, capture_output=True, text=True, check=True)
    return finished.stdout.strip()
