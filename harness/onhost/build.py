"""Compiles a tree's own C as a host program, in the sandbox of builds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.host.cachesize import HOST_PROGRAMS, HOST_VARIATIONS
from harness.host.doctor import HOST_TOOLS
from harness.host.resources import data_file
from harness.host.sandbox import Sandbox, require
from harness.host.workspace import note_holder
from harness.kernel.toolchain import Llvm, best_llvm, compiler_version, installed_llvms
from harness.onhost import recipe
from harness.onhost.generated import GeneratedFiles
from harness.onhost.headers import Headers
from harness.onhost.instrumentation import COVERED, PLAIN, Instrumentation
from harness.onhost.link import Linker
from harness.onhost.objects import Contents, Object, ObjectCache, sources_digest
from harness.onhost.programs import HostProgram, ProgramCache, ProgramIdentity
from harness.onhost.treefiles import NoHostProgramError, TreeFiles
from harness.onhost.variations import ProgramVariations

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.onhost.part import HostPart
    from harness.source.revision import Snapshot
    from harness.source.tree import SourceTree

HALVES: Final = Path(__file__).resolve().parent / "c"
"""The directory of the C of both halves."""

#: What paths of the harness's own sources are told without.
_SOURCES: Final = HALVES.parents[2]
#: Limits of one compiler, in seconds and bytes.
_SECONDS: Final = 300
_MEMORY: Final = 4 << 30
#: Compilers that run at the same time.
_JOBS: Final = 2
#: Part of a program's key: the version of this module's commands, as far as nothing else in the
#: key depends on them.
_RECIPE: Final = "3"


@dataclass(frozen=True, slots=True)
class HostBuilder:
    """Builds host programs.

    Args:
        workspace: has the cache of objects and programs.
        runner: starts compilers.
        progress: shows the stages.
        parts: the parts of the subsystems.
        sandboxed: whether compilers and the tree's scripts run in a sandbox.
    """

    workspace: Workspace
    runner: Runner
    progress: Progress
    parts: Sequence[HostPart]
    sandboxed: bool = True

    def build(
        self, tree: SourceTree, snapshot: Snapshot, config: str, optimisation: str = "-O0",
        instrumentation: Instrumentation = PLAIN,
    ) -> HostProgram:  # fmt: skip
        """Return the program of a snapshot, from the cache or built.

        Args:
            tree: the source tree.
            snapshot: the tree's content.
            config: the text of the kernel configuration.
            optimisation: the compiler's flag for the tree's files.
            instrumentation: what the compiler adds.

        Raises:
            NoHostProgramError: it does not compile; the detail has the compiler's output.
            InfraError: the host is at fault.
        """
        self.progress.stage("host program")
        llvm = best_llvm(snapshot.llvm, installed_llvms())
        compiler = compiler_version(llvm, self.runner)
        texts = self._own_texts()
        more = instrumentation.words
        words = (_RECIPE, snapshot.kernel, config, optimisation, *more, compiler, texts)
        request = hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
        programs = ProgramCache(self.workspace)
        known = programs.answer(request)
        if known is not None:
            return known
        with self._job(
            tree, snapshot, config, optimisation, instrumentation=instrumentation
        ) as job:
            program = programs.store(*job.run())
            if self._own_texts() == texts:  # else it is of other sources, changed meanwhile
                programs.remember(request, program)
        return program

    @contextmanager
    def variations(
        self, tree: SourceTree, snapshot: Snapshot, config: str
    ) -> Iterator[ProgramVariations]:
        """Yield what compiles a snapshot with another text of one file.

        Raises as ``build``.
        """
        self.progress.stage("host program")
        with self._job(tree, snapshot, config, "-O0", HOST_VARIATIONS) as job:
            yield ProgramVariations(job, job.compiled())

    @contextmanager
    def _job(
        self,
        tree: SourceTree,
        snapshot: Snapshot,
        config: str,
        optimisation: str,
        place: str = HOST_PROGRAMS,
        instrumentation: Instrumentation = PLAIN,
    ) -> Iterator[BuildJob]:
        """Yield a build; its lock is held, and the tree's files are checked out below ``place``."""
        llvm = best_llvm(snapshot.llvm, installed_llvms())
        compiler = compiler_version(llvm, self.runner)
        lock = f"{place}-{tree.home.name}"
        with (
            self.workspace.lock(lock, note_holder(self.progress.note, "is using the same tree")),
            self.workspace.scratch("onhost") as scratch,
        ):
            if self.sandboxed:
                require(self.runner)
            _require_tools(llvm)
            sys = tree.checkout_below(snapshot, "sys", tree.home / place / "sys")
            files = TreeFiles(sys.parent)
            yield BuildJob(
                self, snapshot, config, optimisation, llvm, compiler, files, scratch,
                instrumentation,
            )  # fmt: skip

    def _own_texts(self) -> str:
        return "\0".join(path.read_text() for path in self._own_files())

    def _own_files(self) -> list[Path]:
        directories = (HALVES, HALVES / GUEST.name, data_file("images", "kmod"))
        own = [path for directory in directories for path in sorted(directory.iterdir())]
        for part in self.parts:
            own += [*part.module, *part.sources]
            own += sorted({header for each in part.module for header in each.parent.glob("*.h")})
        return [path for path in own if path.suffix in {".c", ".h"}]


@dataclass
class BuildJob:
    """One build, with its lock held."""

    builder: HostBuilder
    snapshot: Snapshot
    config: str
    optimisation: str
    llvm: Llvm
    compiler: str
    files: TreeFiles
    scratch: Path
    instrumentation: Instrumentation = PLAIN
    replaced: list[str] = field(default_factory=list)

    def run(self) -> tuple[ProgramIdentity, Mapping[str, Path]]:
        """Compile and link; return the program's identity, and its files."""
        parts = self.compiled()
        program = parts.linker.program(list(parts.objects.values()), parts.weak, parts.host)
        kept = self._followed_files() if self.instrumentation.keeps_texts else ()
        texts = {Path(path).name: self.files.at(path) for path in kept}
        return self.identity(parts, program), {"program": program, **texts}

    def _followed_files(self) -> set[str]:
        return {path for part in self.builder.parts for path in part.functions}

    def compiled(self) -> Compiled:
        """Compile all objects of a program."""
        cache = ObjectCache(self.builder.workspace, Contents(), self.scratch)
        generated = GeneratedFiles(self.builder.workspace, self.scratch)
        flags = self._headers(generated, cache).flags()
        with ThreadPoolExecutor(_JOBS) as pool:
            tree = [pool.submit(self._of_tree, path, flags, cache) for path in self._required()]
            either = [pool.submit(self._replaceable, each, flags, cache)
                      for each in recipe.REPLACEABLE]  # fmt: skip
            own = [pool.submit(self._of_ours, path, more, flags, cache)
                   for path, more in self._kernel_half()]  # fmt: skip
            compiled = [each.result() for each in tree]
            chosen = [each.result() for each in either]
            ours = [each.result() for each in own]
        objects = [*compiled, *(found for found, _ in chosen), *ours]
        weak = {found.path for found, is_weak in chosen if is_weak}
        linker = Linker(self.llvm.bindir, self.tool, self.compiler, cache, generated)
        sources = [*map(str, self._required()), *(str(each.path) for each in objects[len(tree) :])]
        return Compiled(
            dict(zip(sources, objects, strict=True)), weak, self._host_half(cache), linker, flags
        )

    def _required(self) -> list[Path]:
        follows = [path for part in self.builder.parts for path in part.follows]
        paths = (*dict.fromkeys(follows), *recipe.REQUIRED)
        self.files.required(*paths)  # raises an error that names what is missing
        return [self.files.at(path) for path in paths]

    def _headers(self, generated: GeneratedFiles, cache: ObjectCache) -> Headers:
        return Headers(
            self.files, self.snapshot.release.partition("-")[0],
            self.config + self.instrumentation.options, self._left_out, generated,
            self.llvm.bindir / "llvm-nm", self._script,
            lambda path, words: self._compiled(path, words, cache),
        )  # fmt: skip

    @property
    def _left_out(self) -> frozenset[str]:
        """Return the options of the kernel configuration that are left out."""
        return recipe.WITHOUT - ({"KASAN"} if self.instrumentation.addresses else set())

    @functools.cached_property
    def _of_all(self) -> tuple[str, ...]:
        """Return flags of all sources that are compiled with the tree's headers."""
        if not self.instrumentation.addresses:
            return self.instrumentation.of_all
        header = self.files.read(f"{GUEST.host_headers['machine']}/vmparam.h") or ""
        kept = [name for part in self.builder.parts for name in part.kept if name in header]
        return (*self.instrumentation.of_all, *(f"-D{name}" for name in kept))

    # --- objects ------------------------------------------------------------------------------

    def _of_tree(
        self, path: Path, flags: recipe.KernelFlags, cache: ObjectCache,
        own: Sequence[str] = (), *, weak: bool = False,
    ) -> Object:  # fmt: skip
        added = self.instrumentation
        followed = self._followed_files() if added.covered else ()
        covered = COVERED if str(path.relative_to(self.files.top)) in followed else ()
        added_here = added.of_weak if weak else added.of_tree
        named = _named_below(self.files.top, added)
        more = (*self._of_all, *added_here, *covered, *named, *own)
        return self._compiled(path, flags.words(self.optimisation, more), cache)

    def _replaceable(
        self, each: recipe.Replaceable, flags: recipe.KernelFlags, cache: ObjectCache
    ) -> tuple[Object, bool]:
        try:
            path = self.files.at(each.path)
            return self._of_tree(path, flags, cache, each.flags, weak=each.weak), each.weak
        except NoHostProgramError:
            self.replaced.append(f"{each.what}: {each.path} does not compile here")
            return self._of_ours(HALVES / each.fallback, (), flags, cache), False

    def _kernel_half(self) -> list[tuple[Path, Sequence[str]]]:
        """Return the harness's sources that include the tree's headers, with additional flags."""
        kmod, module = data_file("images", "kmod"), self.instrumentation.of_module
        sources: list[tuple[Path, Sequence[str]]] = [
            (HALVES / name, ()) for name in recipe.KERNEL_HALF
        ]
        sources += [(kmod / name, module) for name in recipe.MODULE]
        for part in self.builder.parts:
            more = tuple(part.flags(self.files.read))
            sources += [(path, (*more, *module)) for path in part.module]
            sources += [(path, more) for path in part.sources]
        return sources

    def _of_ours(
        self, path: Path, more: Sequence[str], flags: recipe.KernelFlags, cache: ObjectCache
    ) -> Object:
        directories = {HALVES, HALVES / GUEST.name, data_file("images", "kmod")}
        directories |= {each.parent for part in self.builder.parts for each in part.module}
        includes = (f"-I{directory}" for directory in sorted(directories))
        named = _named_below(_SOURCES, self.instrumentation)
        more = (*self._of_all, *includes, *named, *more)
        return self._compiled(path, flags.words("-O2", more), cache)

    def _host_half(self, cache: ObjectCache) -> Object:
        # A header of the check module has the name of one of the host's.
        directories = [f"-I{HALVES / GUEST.name}", "-idirafter", str(data_file("images", "kmod"))]
        return self._compiled(HALVES / recipe.HOST_HALF, [*recipe.HOST_FLAGS, *directories], cache)

    def _compiled(self, path: Path, words: Sequence[str], cache: ObjectCache) -> Object:
        command = [str(self.llvm.bindir / "clang"), *words, "-c", str(path)]

        def compile_it(target: Path, rule: Path) -> None:
            self.tool([*command, "-o", target, "-MD", "-MF", rule], self.scratch, path.name)

        return cache.get([self.compiler, *command], compile_it)

    # --- program ------------------------------------------------------------------------------

    def identity(self, compiled: Compiled, program: Path) -> ProgramIdentity:
        """Return what a program was made from."""
        parts = self.builder.parts
        return ProgramIdentity(
            key=hashlib.sha256(program.read_bytes()).hexdigest(),
            sources=sources_digest([*compiled.objects.values(), compiled.host], self.files.top),
            release=self.snapshot.release,
            compiler=self.compiler,
            optimisation=self.optimisation,
            shimmed=(*recipe.SHIMMED, *(words for part in parts for words in part.shimmed),
                     *sorted(self.replaced)),
            subsystems=tuple(part.name for part in parts),
            sanitizers=tuple(sorted(self.instrumentation.sanitizers)),
        )  # fmt: skip

    # --- processes ----------------------------------------------------------------------------

    def _script(self, command: Sequence[str | Path], work: Path) -> str:
        return self.tool(command, work, "the tree's script")

    def tool(self, command: Sequence[str | Path], work: Path, what: str) -> str:
        """Run a compiler or a script of the tree; return its output.

        Args:
            command: the program and its arguments.
            work: the working directory, in which it may write.
            what: a name for error messages.

        Raises:
            NoHostProgramError: it fails.
        """
        words = ["prlimit", f"--as={_MEMORY}", "--core=0", "--", *command]
        if self.builder.sandboxed:
            objects = self.builder.workspace.cache / HOST_PROGRAMS
            readable = (self.files.top, objects, HALVES.parent.parent, data_file("images"))
            words = Sandbox(readable, (self.scratch,)).words(words, work)
        finished = self.builder.runner.run(
            words, cwd=work, env={"LC_ALL": "C"}, deadline=_SECONDS, check=False
        )
        if finished.returncode != 0:
            output = (finished.stderr or finished.stdout).decode("utf-8", "replace")
            raise NoHostProgramError(
                f"the tree does not compile as a host program: {what} failed",
                remedy="check it in a guest: --on guest",
                detail="\n".join(line[:400] for line in output.splitlines()[:20]),
            )
        return finished.text


def _named_below(top: Path, added: Instrumentation) -> tuple[str, ...]:
    """Return flags with which reports name sources by their paths below a directory."""
    if not added.sanitizers:
        return ()
    stripped = f"-fsanitize-undefined-strip-path-components={len(top.parts) - 1}"
    return (f"-ffile-prefix-map={top}/=", stripped)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The objects of a program.

    Args:
        objects: objects of the kernel half; those of the tree by the path of their source.
        weak: paths of the objects whose symbols are overridden by those of others.
        host: the object of the host half.
        linker: links them.
        flags: the flags with which the tree's files were compiled.
    """

    objects: Mapping[str, Object]
    weak: set[Path]
    host: Object
    linker: Linker
    flags: recipe.KernelFlags


def _require_tools(llvm: Llvm) -> None:
    missing = [name for name in HOST_TOOLS if not (llvm.bindir / name).is_file()]
    if missing:
        raise NoHostProgramError(
            f"cannot link a host program: {' and '.join(missing)} of LLVM {llvm.major} not "
            "installed",
            remedy=f"install: apt-get install llvm-{llvm.major}",
        )


def optimisation_for(operations: int) -> str:
    """Return the compiler's flag for the tree's files: a long run is worth a longer compilation.

    Args:
        operations: the number of operations that the program will run.
    """
    return "-O0" if operations <= _QUICK else "-O2"


#: Number of operations up to which optimising, which takes a second, costs more than it saves.
_QUICK: Final = 1_000_000
