"""The built-in guest, a tiny stand-in kernel, compiled from ``images/embedded``.

It shares ``protocol.c`` of ``images/kmod`` and the commands of its subsystem with the check module,
so that ``harness check`` uses one protocol, and ``images/shell`` with FreeBSD's init.

It is linked twice. The second link adds a table of functions with the addresses of the first one,
from which the guest prints the names in its backtraces.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.arch import GUEST
from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.host.resources import checkout_path
from harness.image.key import content_key
from harness.kernel.toolchain import newest_llvm
from harness.sanitizers import KASAN, KUBSAN, NONE, Sanitizers

if TYPE_CHECKING:
    from harness.host.process import Finished, Runner

_DETAIL_LINES = 40
_NO_SPACE = "No space left on device"
_CRASHED = "PLEASE submit a bug report"
SOURCE_SUFFIXES = frozenset({".c", ".h", ".S", ".ld"})
"""Suffixes of the guest's sources; other files in their directory are ignored."""
OWN = "images/embedded"
"""The directory of its own sources, in a checkout of the harness."""
SHARED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "images/kmod": (
            "batch.c", "batch.h", "crc32.h", "protocol.c", "protocol.h", "string.c", "string.h",
            "text.c", "text.h",
        ),
        f"images/kmod/{GUEST.name}": ("secondport.h",),
        "images/shell": ("renew.c", "shell.c", "shell.h"),
        "harness/subsystems/uma/c": ("zone_commands.c", "zone_trace.c", "zone_trace.h"),
    }
)  # fmt: skip
"""The sources that it shares with other guests, by their directories."""

_FLAGS = (
    *GUEST.embedded_flags,
    "-std=c11",
    "-O2",
    "-g",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-pic",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    # Every function must have a stack frame, for backtraces.
    "-fno-omit-frame-pointer",
    "-mno-omit-leaf-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-finline-hint-functions",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wmissing-prototypes",
    "-Werror",
    *(f"-I../src/{directory}" for directory in (OWN, *SHARED)),
    # The output does not depend on the directory.
    "-ffile-prefix-map=../src/=",
    "-ffile-compilation-dir=.",
)

_KASAN_FLAGS = (
    "-DKASAN",
    "-fsanitize=kernel-address",
    *(
        word
        for option in (
            *GUEST.embedded_kasan_flags,
            "-asan-instrumentation-with-call-threshold=0",
            "-asan-stack=1",
            "-asan-globals=1",
            "-asan-use-after-scope=1",
        )
        for word in ("-mllvm", option)
    ),
)


_KUBSAN_FLAGS = ("-DKUBSAN", "-fsanitize=signed-integer-overflow")

#: The compiler's arguments for the supported sanitizers.
_SANITIZER_FLAGS = {KASAN: _KASAN_FLAGS, KUBSAN: _KUBSAN_FLAGS}


class CommitSide(StrEnum):
    """The side of the fix that the guest implements."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class EmbeddedBuild:
    """A build of the built-in guest.

    Raises:
        UsageError: the guest does not support a sanitizer.
    """

    variant: CommitSide
    sanitizers: Sanitizers = NONE

    def __post_init__(self) -> None:
        lacking = Sanitizers(row for row in self.sanitizers if row not in _SANITIZER_FLAGS)
        if lacking:
            raise UsageError(
                f"the built-in guest does not support {' and '.join(lacking.options)}",
                remedy=f"leave out {lacking.flags}, or the --vm that has it, or name a FreeBSD "
                "tree: --source TREE",
            )

    @property
    def flags(self) -> tuple[str, ...]:
        """The compiler's arguments for every source file."""
        flags = (word for row in self.sanitizers.rows for word in _SANITIZER_FLAGS[row])
        return (
            *_FLAGS,
            f"-DHARNESS_COMMIT={int(self.variant is CommitSide.AFTER)}",
            f'-DHARNESS_IDENT="{self.ident}"',
            f'-DHARNESS_SANITIZERS="{",".join(self.sanitizers.options)}"',
            *flags,
        )

    @property
    def ident(self) -> str:
        """The name of its configuration."""
        return "-".join(("EMBEDDED", *(row.option for row in self.sanitizers.rows)))


@dataclass(frozen=True, slots=True)
class _Function:
    address: int
    size: int
    name: str


def embedded_key(build: EmbeddedBuild, checkout: Path | None = None) -> str:
    """Return the key (``content_key``) of the guest's kernel.

    Args:
        build: the build.
        checkout: a checkout of the harness; None for the installed sources.

    Raises:
        InfraError: the compiler is not installed.
    """
    bindir = newest_llvm()
    sources = _sources(checkout).values()
    return content_key((bindir / "clang", bindir / "ld.lld"), build.flags, sources)


def build_embedded(
    build: EmbeddedBuild, runner: Runner, output: Path, checkout: Path | None = None
) -> Path:
    """Compile the guest in the directory ``output``, and return the kernel, an ELF file.

    The directory is created if it is missing; sources and objects stay in it. The kernel contains
    DWARF debug information. ``checkout`` is as for ``embedded_key``.

    Raises:
        BuildError: the sources do not compile; ``detail`` has the compiler's errors.
        InfraError: the compiler is not installed.
    """
    bindir = newest_llvm()
    sources, objects = output / "src", output / "obj"
    objects.mkdir(parents=True, exist_ok=True)
    units = []
    for name, source in _sources(checkout).items():
        copy = sources / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        if source.suffix in {".c", ".S"}:
            units.append(f"../src/{name}")
    work = _Workbench(bindir, build.flags, runner, objects)
    work.compile(units)
    script = work.preprocess(f"../src/{OWN}/kernel.ld")
    compiled = [f"{Path(unit).stem}.o" for unit in units]
    first = _functions(work.link("first.elf", script, [*compiled, work.symbols("none", [])]))
    kernel = work.link("kernel.elf", script, [*compiled, work.symbols("ksyms", first)])
    if _functions(kernel) != first:
        raise BuildError(
            "the built-in guest's second link moved its functions",
            remedy="correct images/embedded/kernel.ld: the text must precede what changes its size",
        )
    return kernel.rename(output / "kernel.elf")


@dataclass(frozen=True, slots=True)
class _Workbench:
    """Runs compiler and linker in the directory of the objects, so that paths are relative."""

    bindir: Path
    flags: tuple[str, ...]
    runner: Runner
    directory: Path

    def compile(self, units: Iterable[str]) -> None:
        self._run([self.bindir / "clang", *self.flags, "-c", *units])

    def preprocess(self, script: str) -> str:
        expanded = f"{Path(script).stem}.lds"
        self._run([self.bindir / "clang", "-E", "-P", "-x", "c", script, "-o", expanded])
        return expanded

    def symbols(self, name: str, functions: list[_Function]) -> str:
        (self.directory / f"{name}.s").write_text(_symbol_table(functions), encoding="ascii")
        self._run([self.bindir / "clang", _FLAGS[0], "-c", f"{name}.s"])
        return f"{name}.o"

    def link(self, name: str, script: str, objects: list[str]) -> Path:
        words = ["-static", "-nostdlib", "--build-id=sha1", "-z", f"max-page-size={GUEST.page}"]
        self._run([self.bindir / "ld.lld", *words, "-T", script, "-o", name, *objects])
        return self.directory / name

    def _run(self, argv: list[str | Path]) -> None:
        finished = self.runner.run(argv, cwd=self.directory, check=False)
        if finished.returncode != 0:
            raise _build_error(finished)


def _build_error(finished: Finished) -> HarnessError:
    program = Path(finished.argv[0]).name
    text = finished.stderr.decode("utf-8", "replace")
    lines = text.splitlines()
    # lld writes its output through mmap(2), so a full disk makes it crash.
    if finished.returncode < 0 or _NO_SPACE in text or _CRASHED in text:
        return InfraError(
            f"{program} crashed while it built the built-in guest; the disk may be full",
            remedy="free disk space, for example: harness gc --limit 10G",
            detail="\n".join(lines[:_DETAIL_LINES]),
        )
    return BuildError(
        f"the built-in guest does not build: {program} failed with exit status "
        f"{finished.returncode}",
        remedy="correct the sources in images/embedded",
        detail="\n".join(lines[:_DETAIL_LINES]),
    )


def _sources(checkout: Path | None) -> dict[str, Path]:
    """Return the sources by path in a checkout; older revisions share fewer files."""
    located = checkout_path if checkout is None else checkout.joinpath
    own = sorted(path for path in located(OWN).iterdir() if path.suffix in SOURCE_SUFFIXES)
    shared = (f"{directory}/{name}" for directory, names in SHARED.items() for name in names)
    found = {name: path for name in shared if (path := located(name)).is_file()}
    return {**{f"{OWN}/{path.name}": path for path in own}, **found}


def _functions(kernel: Path) -> list[_Function]:
    with kernel.open("rb") as file:
        sections = ELFFile(file).iter_sections()
        tables = [section for section in sections if isinstance(section, SymbolTableSection)]
        return sorted(
            (
                _Function(symbol["st_value"], symbol["st_size"], symbol.name)
                for table in tables
                for symbol in table.iter_symbols()
                if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"] > 0
            ),
            key=lambda function: (function.address, function.name),
        )


def _symbol_table(functions: list[_Function]) -> str:
    """Return the assembly of ``ksyms`` (backtrace.c): address, size and name of each function."""
    entries = "".join(
        f"\t.quad {function.address:#x}, {function.size}, .Lname{number}\n"
        for number, function in enumerate(functions)
    )
    names = "".join(
        f'.Lname{number}:\n\t.asciz "{function.name}"\n'
        for number, function in enumerate(functions)
    )
    return (
        '\t.section .ksyms, "aw"\n\t.globl ksyms, ksyms_count\n\t.balign 8\n'
        f"ksyms_count:\n\t.quad {len(functions)}\nksyms:\n{entries}{names}"
        '\t.section .note.GNU-stack, "", @progbits\n'
    )
