"""Links the objects of both halves to a host program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.host.workspace import make_directory, unique, write_atomic
from harness.onhost import recipe
from harness.onhost.objects import plain_file
from harness.onhost.symboltable import undefined_in

if TYPE_CHECKING:
    from harness.onhost.generated import GeneratedFiles
    from harness.onhost.objects import Object, ObjectCache

#: Arguments for a weak file, whose SYSINITs do not run.
_WEAK: Final = ("--weaken", "--rename-section", "set_sysinit_set=set_unrun_sysinit_set")


@dataclass(frozen=True, slots=True)
class Linker:
    """Links objects. Intermediate files that other programs of the tree need as well are cached.

    Args:
        bindir: the directory of LLVM's tools.
        run: runs a command in a directory; the last argument names it in errors, which it raises.
        compiler: the first line of the compiler's ``--version``.
        cache: caches objects.
        generated: caches sources.
    """

    bindir: Path
    run: Callable[[Sequence[str | Path], Path, str], object]
    compiler: str
    cache: ObjectCache
    generated: GeneratedFiles

    def program(self, objects: Sequence[Object], weak: set[Path], host: Object) -> Path:
        """Return the program's file; undefined symbols of the kernel half become traps.

        Args:
            objects: the objects of the kernel half.
            weak: paths of the objects whose symbols are overridden by those of others.
            host: the object of the host half.
        """
        work = self.cache.scratch / f"link-{unique()}"
        make_directory(work)
        inputs = [self._weakened(each) if each.path in weak else each.path for each in objects]
        traps = self._traps(recipe.trapped(undefined_in(inputs)))
        whole, local, program = work / "whole.o", work / "kernel.o", work / "program"
        lld, objcopy = self.bindir / "ld.lld", self.bindir / "llvm-objcopy"
        self.run([lld, "-r", *inputs, traps, "-o", whole], work, "link")
        write_atomic(work / "interface", recipe.interface())
        self.run([objcopy, f"--keep-global-symbols={work / 'interface'}", whole, local], work,
                 "link")  # fmt: skip
        self.run([self.bindir / "clang", "-no-pie", f"--ld-path={lld}", "-Wl,--gc-sections",
                  "-Wl,-z,nostart-stop-gc", host.path, local, "-o", program],
                 work, "link")  # fmt: skip
        return plain_file(program)

    def _weakened(self, found: Object) -> Path:
        words = [str(self.bindir / "llvm-objcopy"), *_WEAK]

        def weaken(target: Path, rule: Path) -> None:
            self.run([*words, found.path, target], self.cache.scratch, "link")
            write_atomic(rule, f"{target.name}:\n")

        return self.cache.get([self.compiler, *words, found.digest], weaken).path

    def _traps(self, names: Sequence[str]) -> Path:
        source = self.generated.of_texts({"traps.s": recipe.trap_source(names)}) / "traps.s"
        words = [str(self.bindir / "clang"), "-c", str(source)]

        def assemble(target: Path, rule: Path) -> None:
            self.run([*words, "-o", target], self.cache.scratch, "traps")
            write_atomic(rule, f"{target.name}: \n")

        return self.cache.get([self.compiler, *words], assemble).path
