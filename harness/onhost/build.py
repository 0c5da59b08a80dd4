"""Builds a tree's own C as a program of the host, in the builds' sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import InfraError
from harness.host.cachesize import HOST_PROGRAMS, HOST_VARIATIONS
from harness.host.doctor import HOST_TOOLS
from harness.host.resources import data_file
from harness.host.sandbox import Sandbox, require
from harness.host.workspace import make_directory, note_holder
from harness.kernel.toolchain import Llvm, best_llvm, compiler_version, installed_llvms
from harness.onhost import recipe
from harness.onhost.generated import GeneratedFiles
from harness.onhost.link import Linker
from harness.onhost.objects import Contents, Object, ObjectCache, sources_digest
from harness.onhost.options import option_headers
from harness.onhost.programs import HostProgram, ProgramCache, ProgramIdentity
from harness.onhost.variations import ProgramVariations

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.onhost.part import HostPart
    from harness.source.revision import Snapshot
    from harness.source.tree import SourceTree

HALVES: Final = Path(__file__).resolve().parent / "c"
"""The C of both halves."""

#: Of one compiler, in seconds and bytes.
_SECONDS: Final = 300
_MEMORY: Final = 4 << 30
_JOBS: Final = 2
#: Of the commands of a build that the key of a program does not tell apart otherwise.
_RECIPE: Final = "2"


class NoHostProgramError(InfraError):
    """A tree's C does not become a program of the host: a limit of ours, or the tree's fault."""


@dataclass(frozen=True, slots=True)
class HostBuilder:
    """Builds programs of the host.

    Args:
        workspace: where objects and programs are kept.
        runner: starts compilers.
        progress: told of stages.
        parts: the subsystems'.
        sandboxed: whether compilers and the tree's scripts run in a sandbox.
    """

    workspace: Workspace
    runner: Runner
    progress: Progress
    parts: Sequence[HostPart]
    sandboxed: bool = True

    def build(
        self, tree: SourceTree, snapshot: Snapshot, config: str, optimisation: str = "-O0", *,
        interleaved: bool = False, covered: bool = False,
    ) -> HostProgram:  # fmt: skip
        """The program of a snapshot, from the cache or built.

        Args:
            tree: whose snapshot it is.
            snapshot: the content.
            config: the text of the kernel configuration.
            optimisation: of the tree's files.
            interleaved: whether accesses to memory are switch points of threads.
            covered: whether it counts what is executed of the followed functions' files; their
                texts are kept beside it.

        Raises:
            NoHostProgramError: it does not compile; the compiler's words are the detail.
            InfraError: the host is at fault.
        """
        self.progress.stage("host program")
        llvm = best_llvm(snapshot.llvm, installed_llvms())
        compiler = compiler_version(llvm, self.runner)
        texts = "\0".join(path.read_text() for path in self._own_files())
        more = recipe.INTERLEAVED if interleaved else ()
        covering = recipe.COVERED if covered else ()
        words = (_RECIPE, snapshot.kernel, config, optimisation, *more, *covering, compiler, texts)
        request = hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
        programs = ProgramCache(self.workspace)
        known = programs.answer(request)
        if known is not None:
            return known
        with self._job(tree, snapshot, config, optimisation, more=more) as job:
            job.covered = covered
            program = programs.store(*job.run())
            programs.remember(request, program)
        return program

    @contextmanager
    def variations(
        self, tree: SourceTree, snapshot: Snapshot, config: str
    ) -> Iterator[ProgramVariations]:
        """Programs of a snapshot with another text of one file, for as long as the context lasts.

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
        more: Sequence[str] = (),
    ) -> Iterator[BuildJob]:
        """A build, with the tree's files checked out in a place of its home, and its lock held."""
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
            yield BuildJob(self, snapshot, config, optimisation, llvm, compiler, sys, scratch, more)

    def _own_files(self) -> list[Path]:
        directories = (HALVES, HALVES / GUEST.name, data_file("images", "kmod"))
        own = [path for directory in directories for path in sorted(directory.iterdir())]
        for part in self.parts:
            own += [*part.module, *part.sources]
            own += sorted({header for each in part.module for header in each.parent.glob("*.h")})
        return [path for path in own if path.suffix in {".c", ".h"}]


@dataclass(slots=True)
class BuildJob:
    """One build, with its lock held."""

    builder: HostBuilder
    snapshot: Snapshot
    config: str
    optimisation: str
    llvm: Llvm
    compiler: str
    sys: Path
    scratch: Path
    more: Sequence[str] = ()
    replaced: list[str] = field(default_factory=list)
    covered: bool = False

    def run(self) -> tuple[ProgramIdentity, Mapping[str, Path]]:
        """Compile and link; what the program is, and its files."""
        parts = self.compiled()
        program = parts.linker.program(list(parts.objects.values()), parts.weak, parts.host)
        texts = {Path(path).name: self._at(path) for path in self._covered_files()}
        return self.identity(parts, program), {"program": program, **texts}

    def _covered_files(self) -> set[str]:
        parts = self.builder.parts if self.covered else ()
        return {path for part in parts for path in part.functions}

    def compiled(self) -> Compiled:
        """Compile all that a program is linked from."""
        cache = ObjectCache(self.builder.workspace, Contents(), self.scratch)
        generated = GeneratedFiles(self.builder.workspace, self.scratch)
        flags = self._flags(generated, cache)
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
        self._texts(*paths)  # which tells what is missing
        return [self._at(path) for path in paths]

    def _at(self, path: str) -> Path:
        return self.sys.parent / path

    def _read(self, path: str) -> str | None:
        found = self._at(path)
        if found.is_symlink() or not found.is_file():
            return None
        return found.read_text("utf-8", "replace")

    # --- headers ------------------------------------------------------------------------------

    def _flags(self, generated: GeneratedFiles, cache: ObjectCache) -> recipe.KernelFlags:
        release = self.snapshot.release.partition("-")[0]
        options = generated.of_texts(self._option_headers())
        flags = recipe.KernelFlags(release, self.sys, self._links(), options)
        return replace(flags, generated=(
            self._interfaces(generated), self._vnode_interface(generated),
            self._offsets(flags, generated, cache),
        ))  # fmt: skip

    def _option_headers(self) -> Mapping[str, str]:
        tables = [self._read(path) for path in ("sys/conf/options", *GUEST.options)]
        return option_headers(
            self.config + recipe.WITH, [table or "" for table in tables], self._included,
            recipe.WITHOUT,
        )  # fmt: skip

    def _included(self, name: str) -> str | None:
        if name.startswith("/") or ".." in name.split("/"):
            return None
        directories = (GUEST.configurations, "sys/conf")
        return next(
            (text for directory in directories if (text := self._read(f"{directory}/{name}"))), None
        )

    def _links(self) -> Path:
        links = self.sys.parent / "links"
        make_directory(links)
        for name, target in GUEST.host_headers.items():
            link = links / name
            if not link.is_symlink():
                link.symlink_to(self._at(target))
        return links

    def _interfaces(self, generated: GeneratedFiles) -> Path:
        sources = [f"sys/kern/{name}_if.m" for name in recipe.INTERFACES]
        script = self._at("sys/tools/makeobjops.awk")

        def run(work: Path) -> Mapping[str, str]:
            for source in sources:
                self._script(["awk", "-f", script, self._at(source), "-h"], work)
            return {}

        return generated.of_script(self._texts(str(script), *sources), run)

    def _vnode_interface(self, generated: GeneratedFiles) -> Path:
        source, script = "sys/kern/vnode_if.src", self._at("sys/tools/vnode_if.awk")

        def run(work: Path) -> Mapping[str, str]:
            for letter in ("-p", "-q", "-h"):
                self._script(["awk", "-f", script, self._at(source), letter], work)
            return {}

        return generated.of_script(self._texts(str(script), source), run)

    def _offsets(
        self, flags: recipe.KernelFlags, generated: GeneratedFiles, cache: ObjectCache
    ) -> Path:
        """``offset.inc``, by the tree's own ``genoffset.sh``."""
        script = self._at("sys/kern/genoffset.sh")
        words = flags.words("-O1", ("-fcommon",))
        listed = self._compiled(self._at("sys/kern/genoffset.c"), words, cache)

        def run(work: Path) -> Mapping[str, str]:
            nm = f"NM={self.llvm.bindir / 'llvm-nm'}"
            text = self._script(["env", nm, "sh", script, listed.path], work)
            return {"offset.inc": text}

        return generated.of_script([*self._texts(str(script)), listed.digest], run)

    def _texts(self, *paths: str) -> list[str]:
        prefix = f"{self.sys.parent}/"
        texts = [self._read(path.removeprefix(prefix)) for path in paths]
        if None in texts:
            missing = [path for path, text in zip(paths, texts, strict=True) if text is None]
            raise NoHostProgramError(
                "the tree does not become a program of the host: it has no "
                + ", ".join(path.removeprefix(prefix) for path in missing),
                remedy="check it in a guest: --on guest",
            )
        return [text or "" for text in texts]

    # --- objects ------------------------------------------------------------------------------

    def _of_tree(self, path: Path, flags: recipe.KernelFlags, cache: ObjectCache) -> Object:
        is_covered = str(path.relative_to(self.sys.parent)) in self._covered_files()
        more = (*self.more, *(recipe.COVERED if is_covered else ()))
        return self._compiled(path, flags.words(self.optimisation, more), cache)

    def _replaceable(
        self, each: recipe.Replaceable, flags: recipe.KernelFlags, cache: ObjectCache
    ) -> tuple[Object, bool]:
        try:
            return self._of_tree(self._at(each.path), flags, cache), each.weak
        except NoHostProgramError:
            self.replaced.append(f"{each.what}: {each.path} does not compile here")
            return self._of_ours(HALVES / each.fallback, (), flags, cache), False

    def _kernel_half(self) -> list[tuple[Path, Sequence[str]]]:
        """Our sources that see the tree's headers, each with more flags."""
        kmod = data_file("images", "kmod")
        sources: list[tuple[Path, Sequence[str]]] = [
            (HALVES / name, ()) for name in recipe.KERNEL_HALF
        ]
        sources += [(kmod / name, ()) for name in recipe.MODULE]
        for part in self.builder.parts:
            more = tuple(part.flags(self._read))
            sources += [(path, more) for path in (*part.module, *part.sources)]
        return sources

    def _of_ours(
        self, path: Path, more: Sequence[str], flags: recipe.KernelFlags, cache: ObjectCache
    ) -> Object:
        directories = {HALVES, HALVES / GUEST.name, data_file("images", "kmod")}
        directories |= {each.parent for part in self.builder.parts for each in part.module}
        includes = (f"-I{directory}" for directory in sorted(directories))
        return self._compiled(path, flags.words("-O2", (*includes, *more)), cache)

    def _host_half(self, cache: ObjectCache) -> Object:
        # A header of the module's has the name of one of the host's.
        directories = [f"-I{HALVES / GUEST.name}", "-idirafter", str(data_file("images", "kmod"))]
        return self._compiled(HALVES / recipe.HOST_HALF, [*recipe.HOST_FLAGS, *directories], cache)

    def _compiled(self, path: Path, words: Sequence[str], cache: ObjectCache) -> Object:
        command = [str(self.llvm.bindir / "clang"), *words, "-c", str(path)]

        def compile_it(target: Path, rule: Path) -> None:
            self.tool([*command, "-o", target, "-MD", "-MF", rule], self.scratch, path.name)

        return cache.get([self.compiler, *command], compile_it)

    # --- program ------------------------------------------------------------------------------

    def identity(self, compiled: Compiled, program: Path) -> ProgramIdentity:
        """What a program was made from."""
        parts = self.builder.parts
        return ProgramIdentity(
            key=hashlib.sha256(program.read_bytes()).hexdigest(),
            sources=sources_digest([*compiled.objects.values(), compiled.host], self.sys.parent),
            release=self.snapshot.release,
            compiler=self.compiler,
            optimisation=self.optimisation,
            shimmed=(*recipe.SHIMMED, *(words for part in parts for words in part.shimmed),
                     *sorted(self.replaced)),
            subsystems=tuple(part.name for part in parts),
        )  # fmt: skip

    # --- processes ----------------------------------------------------------------------------

    def _script(self, command: Sequence[str | Path], work: Path) -> str:
        return self.tool(command, work, "the tree's script")

    def tool(self, command: Sequence[str | Path], work: Path, what: str) -> str:
        """Run a compiler or a script of the tree's; its output.

        Raises:
            NoHostProgramError: it fails.
        """
        words = ["prlimit", f"--as={_MEMORY}", "--core=0", "--", *command]
        if self.builder.sandboxed:
            objects = self.builder.workspace.cache / HOST_PROGRAMS
            readable = (self.sys.parent, objects, HALVES.parent.parent, data_file("images"))
            words = Sandbox(readable, (self.scratch,)).words(words, work)
        finished = self.builder.runner.run(
            words, cwd=work, env={"LC_ALL": "C"}, deadline=_SECONDS, check=False
        )
        if finished.returncode != 0:
            said = (finished.stderr or finished.stdout).decode("utf-8", "replace")
            raise NoHostProgramError(
                f"the tree does not become a program of the host: {what} does not compile",
                remedy="check it in a guest: --on guest",
                detail="\n".join(line[:400] for line in said.splitlines()[:20]),
            )
        return finished.text


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a program is linked from.

    Args:
        objects: of the kernel half; those of the tree by the path of their source.
        weak: those of which other objects' symbols go before.
        host: the object of the host's half.
        linker: links them.
        flags: that the tree's files were compiled with.
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
            f"{' and '.join(missing)} of LLVM {llvm.major} not installed, which link programs of "
            "the host",
            remedy=f"install: apt-get install llvm-{llvm.major}",
        )


def optimisation_for(operations: int) -> str:
    """How the tree's files are compiled for so many operations: what is compiled once and runs
    long, better.
    """
    return "-O0" if operations <= _QUICK else "-O2"


#: Operations up to which a second of compiling costs more than it saves.
_QUICK: Final = 1_000_000
