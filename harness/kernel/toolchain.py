"""The host's compiler for a tree, and the tree's own make, bootstrapped on this host."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.arch import GUEST
from harness.errors import BuildError, InfraError
from harness.host.process import Runner, failure
from harness.host.sandbox import Sandbox
from harness.host.workspace import make_folder, write_atomic
from harness.kernel.leftovers import MAKE, damaged, keep_sizes, sizes_below

#: Where distributions put a versioned LLVM: Debian, Fedora, FreeBSD's packages.
_PREFIXES = ("/usr/lib/llvm-*", "/usr/lib64/llvm*", "/usr/local/llvm*")

#: The programs that ``tools/build/make.py`` infers from ``--cross-bindir``.
_NEEDED = ("clang", "clang++", "clang-cpp", "ld.lld")


@dataclass(frozen=True, slots=True)
class Llvm:
    """An LLVM of this host.

    Args:
        major: its major version.
        bindir: the folder of clang and ld.lld.
    """

    major: int
    bindir: Path


def best_llvm(wanted: int, installed: Sequence[Llvm]) -> Llvm:
    """The LLVM nearest to ``wanted``; of two as near, the newer.

    An older kernel under a much newer compiler fails on new warnings, a newer kernel
    under an older one on missing options, so distance counts in both directions.

    Raises:
        InfraError: none is installed.
    """
    if not installed:
        raise InfraError(
            "no clang and ld.lld are installed",
            remedy=f"install them: apt-get install clang-{wanted} lld-{wanted} llvm-{wanted}",
        )
    return min(installed, key=lambda llvm: (abs(llvm.major - wanted), -llvm.major))


def installed_llvms(prefixes: Sequence[str] = _PREFIXES) -> list[Llvm]:
    """Every LLVM of this host that has all that a kernel needs."""
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
    """The folder of the newest clang of this host that has its linker beside it.

    Raises:
        InfraError: there is none.
    """
    found = installed()
    if found:
        return max(found, key=lambda llvm: llvm.major).bindir
    # FreeBSD has them in its base system, some Linux distributions without a version.
    clang, linker = which("clang"), which("ld.lld")
    if clang and linker:
        return Path(clang).parent
    missing = [name for name, path in (("clang", clang), ("lld", linker)) if not path]
    raise InfraError(
        f"{' and '.join(missing)} not installed, which the built-in guest is compiled with",
        remedy=f"install: apt-get install {' '.join(missing)}",
    )


def compiler_version(llvm: Llvm, runner: Runner) -> str:
    """The first line of ``clang --version``."""
    return runner.run([llvm.bindir / "clang", "--version"]).text.splitlines()[0]


def keep_to_compiler(objects: Path, output: Path, compiler: str) -> None:
    """Remove what another compiler of the same major version has made: make would not notice.

    Args:
        objects: MAKEOBJDIRPREFIX, with the marks (``.done``) of what is whole.
        output: what make has put there.
        compiler: as ``compiler_version`` tells it.
    """
    mark = objects / "compiler"
    known = mark.read_text() if mark.exists() else None
    if known == compiler:
        return
    if known is not None:
        # The marks first: whatever kills us, nothing is then taken for whole.
        for done in objects.glob("*.done"):
            done.unlink()
        shutil.rmtree(output, ignore_errors=True)
    write_atomic(mark, compiler)


#: Last, and by renaming: a file there means that all before it is whole.
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
    """The tree's own bmake, built for this host into ``home``.

    It is what ``tools/build/make.py`` does, but for bmake's unit tests, which depend on
    how the host's ``sh`` quotes and on signals that a background job ignores.

    Raises:
        BuildError: it does not build.
    """
    binary, memory = home / "bin" / "bmake", home.with_name(f"{home.name}.sizes")
    if binary.is_file() and not damaged(sizes_below(home, MAKE), memory):
        return binary
    work = home / "build"
    shutil.rmtree(home, ignore_errors=True)
    make_folder(work)
    command: list[str | Path] = [
        "sh",
        "-ec",
        _BOOTSTRAP.replace("@MACHINE@", GUEST.name),
        "sh",
        tree / "contrib/bmake",
        home,
    ]
    if sandboxed:
        command = Sandbox((tree,), (home,)).words(command, work)
    finished = runner.run(command, cwd=work, check=False)
    if finished.returncode != 0:
        raise BuildError(
            "the tree's make (contrib/bmake) does not build on this host",
            remedy=f"the build was in {work}",
            detail=str(failure(finished).detail),
        )
    keep_sizes(sizes_below(home, MAKE), memory)
    return binary
