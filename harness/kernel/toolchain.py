"""The host's compiler for a tree, and the tree's make, bootstrapped on this host."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.arch import GUEST
from harness.errors import BuildError, InfraError
from harness.host.jsontoml import read_object
from harness.host.process import Runner, failure
from harness.host.workspace import make_directory, write_atomic
from harness.kernel.leftovers import MAKE, damaged, keep_sizes, sizes_below

#: Directories of versioned LLVMs: Debian, Fedora, FreeBSD's packages.
_PREFIXES = ("/usr/lib/llvm-*", "/usr/lib64/llvm*", "/usr/local/llvm*")

#: The programs that ``tools/build/make.py`` infers from ``--cross-bindir``.
_NEEDED = ("clang", "clang++", "clang-cpp", "ld.lld")


@dataclass(frozen=True, slots=True)
class Llvm:
    """An LLVM on this host.

    Args:
        major: the major version.
        bindir: the directory of clang and ld.lld.
    """

    major: int
    bindir: Path


def best_llvm(wanted: int, installed: Sequence[Llvm]) -> Llvm:
    """Return the LLVM nearest to version ``wanted``; of two equally near ones, the newer.

    An old kernel fails to build with a much newer compiler because of new warnings, a new kernel
    with an older one because of missing options, so the distance counts in both directions.

    Raises:
        InfraError: no LLVM is installed.
    """
    if not installed:
        raise InfraError(
            "no clang and ld.lld are installed",
            remedy=f"install them: apt-get install clang-{wanted} lld-{wanted} llvm-{wanted}",
        )
    return min(installed, key=lambda llvm: (abs(llvm.major - wanted), -llvm.major))


def installed_llvms(prefixes: Sequence[str] = _PREFIXES) -> list[Llvm]:
    """Return the LLVMs on this host that have all programs that a kernel's build needs."""
    found = []
    for pattern in prefixes:
        root, _, name = pattern.rpartition("/")
        for prefix in Path(root).glob(name):
            version = re.search(r"(\d+)\Z", prefix.name)
            if version and all((prefix / "bin" / program).is_file() for program in _NEEDED):
                found.append(Llvm(int(version[1]), prefix / "bin"))
    return sorted(found, key=lambda llvm: llvm.major)


def newest_llvm(
    installed: Callable[[], list[Llvm]] = installed_llvms,
    which: Callable[[str], str | None] = shutil.which,
) -> Path:
    """Return the directory of the newest clang on this host that is installed with ld.lld.

    Raises:
        InfraError: clang or ld.lld is not installed.
    """
    found = installed()
    if found:
        return max(found, key=lambda llvm: llvm.major).bindir
    # FreeBSD's base system and some Linux distributions have them without a version.
    clang, linker = which("clang"), which("ld.lld")
    if clang and linker:
        return Path(clang).parent
    missing = [name for name, path in (("clang", clang), ("lld", linker)) if not path]
    raise InfraError(
        f"cannot compile the built-in guest: {' and '.join(missing)} not installed",
        remedy=f"install: apt-get install {' '.join(missing)}",
    )


def compiler_version(llvm: Llvm, runner: Runner) -> str:
    """Return the first line of ``clang --version``."""
    return runner.run([llvm.bindir / "clang", "--version"]).text.splitlines()[0]


def kept_compiler_version(llvm: Llvm, runner: Runner, directory: Path) -> str:
    """Return ``compiler_version``, which is kept in a directory until the compiler changes."""
    kept = directory / f"compiler-{llvm.major}.json"
    identity = program_identity(llvm.bindir / "clang")
    with contextlib.suppress(OSError, ValueError):
        known = read_object(kept)
        if known.get("program") == identity and isinstance(known.get("version"), str):
            return str(known["version"])
    version = compiler_version(llvm, runner)
    write_atomic(kept, json.dumps({"program": identity, "version": version}) + "\n", synced=False)
    return version


def program_identity(program: Path) -> str:
    """Return path, size and modification time (ns) of a program, which an upgrade changes."""
    real = program.resolve()
    status = real.stat()
    return f"{real} {status.st_size} {status.st_mtime_ns}"


def keep_to_compiler(objects: Path, output: Path, compiler: str) -> None:
    """Remove the output of another compiler of the same major version, which make does not detect.

    Args:
        objects: MAKEOBJDIRPREFIX, with the marks (``.done``) of complete parts.
        output: directory of make's output.
        compiler: the result of ``compiler_version``.
    """
    mark = objects / "compiler"
    known = mark.read_text() if mark.exists() else None
    if known == compiler:
        return
    if known is not None:
        # The marks first, so that nothing counts as complete after an interruption.
        for done in objects.glob("*.done"):
            done.unlink()
        shutil.rmtree(output, ignore_errors=True)
    write_atomic(mark, compiler)


#: What starts a build of FreeBSD on other systems.
_BUILDS_ELSEWHERE = "tools/build/make.py"

#: bmake is installed last, by renaming, so that all other files are complete if it exists.
_BOOTSTRAP = """\
sh "$1/configure" "--with-default-sys-path=.../share/mk:$2/share/mk" --with-machine=@MACHINE@ \\
    --without-filemon "--prefix=$2"
sh make-bootstrap.sh
mkdir "$2/share" "$2/bin"
cp -R "$1/mk" "$2/share/mk"
cp bmake "$2/bin/bmake.new"
mv "$2/bin/bmake.new" "$2/bin/bmake"
"""


def bootstrap_bmake(tree: Path, home: Path, runner: Runner, *, sandboxed: bool) -> Path:
    """Build the tree's bmake for this host in ``home``, unless it is there, and return its path.

    This does the same as ``tools/build/make.py``, except for bmake's unit tests, which depend on
    the quoting of the host's ``sh`` and on signals that background jobs ignore.

    Raises:
        BuildError: bmake does not build.
    """
    binary, memory = home / "bin" / "bmake", home.with_name(f"{home.name}.sizes")
    if binary.is_file() and not damaged(sizes_below(home, MAKE), memory):
        return binary
    work = home / "build"
    shutil.rmtree(home, ignore_errors=True)
    make_directory(work)
    command: list[str | Path] = [
        "sh",
        "-ec",
        _BOOTSTRAP.replace("@MACHINE@", GUEST.name),
        "sh",
        tree / "contrib/bmake",
        home,
    ]
    if sandboxed:
        from harness.host.sandbox import Sandbox  # needed once for each tree

        command = Sandbox((tree,), (home,)).words(command, work)
    finished = runner.run(command, cwd=work, check=False)
    if finished.returncode != 0:
        older = "" if (tree / _BUILDS_ELSEWHERE).exists() else (
            f"; the tree has no {_BUILDS_ELSEWHERE}, so it is older than builds of FreeBSD on "
            "other systems (2020)"
        )  # fmt: skip
        raise BuildError(
            f"the tree's make (contrib/bmake) does not build on this host{older}",
            remedy=f"use a newer revision, or check its files: {work}",
            detail=str(failure(finished).detail),
        )
    keep_sizes(sizes_below(home, MAKE), memory)
    return binary
