"""Programs of a tree in which one file has another text."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from harness.host.workspace import make_directory, unique
from harness.onhost.objects import Object, plain_file
from harness.onhost.programs import HostProgram
from harness.onhost.symboltable import read_symbols

if TYPE_CHECKING:
    from harness.onhost.build import BuildJob, Compiled

#: As kernels are compiled.
_OPTIMISED: Final = "-O2"


@dataclass(frozen=True, slots=True)
class ProgramVariations:
    """Programs of a tree in which one file has another text; see ``HostBuilder.variations``."""

    _job: BuildJob
    _parts: Compiled
    _optimised: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

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
        own = parts.objects[str(self._source(path))]
        target = self._compiled(path, text, job.optimisation)
        directory = target.parent
        if target.read_bytes() == own.path.read_bytes():
            shutil.rmtree(directory)
            return None
        changed = Object(target, ())
        objects = [changed if each is own else each for each in parts.objects.values()]
        program = parts.linker.program(objects, parts.weak, parts.host)
        program.replace(directory / "program")
        shutil.rmtree(program.parent)
        return HostProgram(job.identity(parts, directory / "program"), directory)

    def has_same_code(self, path: str, text: bytes) -> bool:
        """Return whether the text compiles to the same object as the tree's own when both are
        optimised. Several threads may call it at once.

        Raises:
            NoHostProgramError: the text does not compile.
        """
        with self._lock:
            if path not in self._optimised:
                self._optimised[path] = self._code(path, self.text(path))
        return self._code(path, text) == self._optimised[path]

    def _code(self, path: str, text: bytes) -> bytes:
        target = self._compiled(path, text, _OPTIMISED)
        code = target.read_bytes()
        shutil.rmtree(target.parent)
        return code

    def _compiled(self, path: str, text: bytes, optimisation: str) -> Path:
        """Compile a text in the place of a file, in a directory of its own."""
        job = self._job
        directory = job.scratch / unique()
        source = directory / Path(path).name
        target = source.with_suffix(".o")
        make_directory(directory)
        source.write_bytes(text)
        # Locks are taken with the name of the file, which is to be the same.
        same_name = f"-ffile-prefix-map={directory}/={PurePosixPath(path).parent}/"
        words = [
            str(job.llvm.bindir / "clang"),
            *self._parts.flags.words(optimisation, [same_name]),
        ]
        job.tool([*words, "-c", source, "-o", target], directory, source.name)
        return plain_file(target)

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
