"""Command lines of the host's gdb.

The kernel's file and its sources come from a hostile tree: gdb loads no scripts that they name, and
reads no settings from the working directory or the home directory. The guest's memory is hostile,
too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import InfraError
from harness.host.resources import data_file
from harness.kernel.elftables import ElfError, ElfTables
from harness.kernel.module import MODULE

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.kernel.artifact import KernelArtifact

PROGRAM: Final = "gdb"

BREAK_AT: Final = "vpanic"
"""The function that every panic calls (sys/kern/kern_shutdown.c)."""

BACKTRACE: Final = ("-batch", "-ex", "bt", "-ex", "info threads")
"""The arguments with which a panic is recorded."""

_BATCH_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class DebugFiles:
    """The files that gdb reads.

    Args:
        kernel: the kernel's ELF file with debug information.
        roots: directories that its debug information names as the top of the tree.
        sources: the directory that holds its sources; None if there is none.
        modules: modules that may be in the guest, by their names in the kernel.
    """

    kernel: Path
    roots: tuple[str, ...] = ()
    sources: Path | None = None
    modules: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(
        cls, kernel: KernelArtifact, subsystem: str = "", sources: Path | None = None
    ) -> DebugFiles:
        """Return the files of a kernel, and of the check module of a subsystem."""
        module = kernel.modules.get(subsystem)
        modules = {} if module is None else {f"{MODULE}.ko": module}
        return cls(kernel.debug, kernel.identity.source_roots, sources, modules)


def is_batch(arguments: Sequence[str]) -> bool:
    """Return whether gdb ends by itself with these arguments."""
    return "-batch" in arguments or "--batch" in arguments


def words_for_stub(files: DebugFiles, stub: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command that connects gdb to a stub, at its panicked CPU, if one has."""
    return _words(files, f"target remote {stub}", arguments)


def words_for_dump(files: DebugFiles, dump: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command that opens a memory dump."""
    return _words(files, f"core-file {dump}", arguments)


def _words(files: DebugFiles, target: str, arguments: Sequence[str]) -> list[str]:
    early = [
        "set auto-load no",
        "set debuginfod enabled off",
        "set osabi GNU/Linux",  # else the registers of stub and dump have another layout
    ]
    commands = [
        *(
            f"set substitute-path {_quoted(root)} {_quoted(str(files.sources))}"
            for root in files.roots
            if files.sources is not None
        ),
        f"file {_quoted(str(files.kernel))}",
        f"source {data_file('images', 'gdb', GUEST.name, 'freebsd.py')}",
        target,
        "python select_panicked()",
    ]
    if files.modules:
        layouts = {name: [str(path), _layout(path)] for name, path in files.modules.items()}
        commands.append(f"python load_modules({json.dumps(layouts)})")
    return [
        PROGRAM, "-q", "-nx",
        *(word for command in early for word in ("-iex", command)),
        *(word for command in commands for word in ("-ex", command)),
        *arguments,
    ]  # fmt: skip


def _layout(module: Path) -> list[tuple[str, int, int]]:
    """Return the sections of a module in memory, in the order in which they are loaded.

    Follows ``elf64_obj_loadimage()`` (``stand/common/load_elf_obj.c``).

    Raises:
        InfraError: it is not a module.
    """
    from harness.image.elfplacement import loaded_sections

    try:
        file = ElfTables(module.read_bytes())
    except (ElfError, OSError) as error:
        raise InfraError(
            f"{module} is not a kernel module: {error}",
            remedy="run the command again; damaged files of the cache are built again",
        ) from error
    return [
        (file.name(each).decode("ascii", "replace"), max(1, each.addralign), each.size)
        for each in loaded_sections(file)
    ]


def _quoted(word: str) -> str:
    """Return a word for gdb's ``gdb_buildargv()``."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def run_batch(runner: Runner, words: Sequence[str]) -> str:
    """Run gdb without a terminal; return what it prints.

    Raises:
        InfraError: gdb is missing, or does not end.
    """
    finished = runner.run(words, deadline=_BATCH_SECONDS, check=False)
    return (finished.stdout + finished.stderr).decode("utf-8", "replace")
