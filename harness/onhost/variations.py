"""Programs of a tree in which one file has another text."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.workspace import make_directory, unique
from harness.onhost.objects import Object, plain_file
from harness.onhost.programs import HostProgram
from harness.onhost.symboltable import read_symbols

if TYPE_CHECKING:
    from harness.onhost.build import BuildJob, Compiled


@dataclass(frozen=True, slots=True)
class ProgramVariations:
    """Programs of a tree in which one file has another text; see ``HostBuilder.variations``."""

    _job: BuildJob
    _parts: Compiled

    def text(self, path: str) -> bytes:
        """Return the tree's own text of a file that is compiled."""
        return self._source(path).read_bytes()

    def program(self, path: str, text: bytes) -> HostProgram | None:
        """Return the program with that text, in a directory of its own.

        None if the text compiles to the same object. Several threads may call it at once.

        Raises:
            NoHostProgramError: the text does not compile.
        """
        job, parts = self._job, self._parts
        directory = job.scratch / unique()
        own = parts.objects[str(self._source(path))]
        target = directory / f"{own.path.stem}.o"
        source = directory / Path(path).name
        make_directory(directory)
        source.write_bytes(text)
        words = [str(job.llvm.bindir / "clang"), *parts.flags.words(job.optimisation)]
        job.tool([*words, "-c", source, "-o", target], directory, source.name)
        if plain_file(target).read_bytes() == own.path.read_bytes():
            return None
        changed = Object(target, ())
        objects = [changed if each is own else each for each in parts.objects.values()]
        program = parts.linker.program(objects, parts.weak, parts.host)
        program.replace(directory / "program")
        shutil.rmtree(program.parent)
        return HostProgram(job.identity(parts, directory / "program"), directory)

    def functions(self) -> frozenset[str]:
        """Return the names of the functions in the tree's files."""
        top = f"{self._job.files.sys}/"
        objects = (each for path, each in self._parts.objects.items() if path.startswith(top))
        return frozenset(
            symbol.name for each in objects for symbol in read_symbols(each.path) if symbol.is_code
        )

    def unchanged(self) -> HostProgram:
        """Return the program of the unchanged tree."""
        parts = self._parts
        program = parts.linker.program(list(parts.objects.values()), parts.weak, parts.host)
        return HostProgram(self._job.identity(parts, program), program.parent)

    def discard(self, program: HostProgram) -> None:
        """Remove a program that is no longer needed."""
        shutil.rmtree(program.directory)

    def _source(self, path: str) -> Path:
        return self._job.files.at(path)
