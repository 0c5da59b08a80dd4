"""Builds of worlds by the tree's own buildworld and installworld (FreeBSD's build(7)).

All of it runs in the builds' sandbox, without privileges: ``installworld`` writes owners and modes
into a METALOG (``NO_ROOT``), from which makefs(8) makes the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.host.loglimits import USUAL_LIMITS, LogLimits
from harness.host.sandbox import Sandbox, require
from harness.host.workspace import Workspace, make_directory, note_holder, write_atomic
from harness.kernel.leftovers import without_links
from harness.kernel.make import Make, parallel
from harness.kernel.stamp import Stamp
from harness.kernel.toolchain import (
    Llvm,
    best_llvm,
    bootstrap_bmake,
    compiler_version,
    installed_llvms,
    keep_to_compiler,
)
from harness.source.revision import combined_hash
from harness.source.treelocks import being_read
from harness.source.worldtree import WorldSnapshot, world_snapshot
from harness.world.image import World, WorldCache, WorldIdentity, image_digest, make_image
from harness.world.metalog import Metalog

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.source.change import Change
    from harness.source.tree import SourceTree
    from harness.world.config import WorldConfig

#: Incremented when a change of the build procedure changes its output.
_RECIPE: Final = "1"

LOCK: Final = "world"
"""The lock of a tree's world, beside those of its kernels: a build takes half an hour."""

#: LLVM's programs by the variables of the tree's makefiles; the linker and compilers are Make's.
_PROGRAMS: Final = {
    "STRIPBIN": "llvm-strip", "XSTRIPBIN": "llvm-strip", "XNM": "llvm-nm", "XAR": "llvm-ar",
    "XRANLIB": "llvm-ranlib", "XOBJCOPY": "llvm-objcopy", "XSIZE": "llvm-size",
    "XSTRINGS": "llvm-strings",
}  # fmt: skip

#: installworld searches strip(1) among the build's own tools.
_INSTALL: Final = """\
ln -sf "$1" "$2/strip"
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class WorldBuilder:
    """Builds worlds on this host.

    Args:
        workspace: the workspace of objects and images.
        runner: starts git, make and compilers.
        progress: receives the stages.
        sandboxed: whether the tree's build system runs in a sandbox.
        logs: limits of the logs.
    """

    workspace: Workspace
    runner: Runner
    progress: Progress
    sandboxed: bool = True
    logs: LogLimits = USUAL_LIMITS

    def build(
        self, tree: SourceTree, change: Change, config: WorldConfig, overlay: Path | None
    ) -> World:
        """Return the world of ``tree``, from the cache or built.

        Args:
            tree: the tree.
            change: its revision.
            config: what the world contains.
            overlay: a directory of files that are laid over the tree; None for none.

        Raises:
            UsageError: the revision, the tree, the configuration or the overlay is wrong.
            BuildError: the revision does not build.
            InfraError: the host failed.
        """
        self.progress.stage("source")
        with being_read(tree, self.workspace, self._waiting):
            snapshot = world_snapshot(tree, change, overlay)
        llvm = best_llvm(snapshot.llvm, installed_llvms())
        compiler = compiler_version(llvm, self.runner)
        cache = WorldCache(self.workspace)
        identity = _identity(snapshot, config, compiler)
        found = cache.find(identity.key)
        if found is not None:
            return found
        with self.workspace.lock(f"{LOCK}-{tree.home.name}", self._waiting) as lock:
            found = cache.find(identity.key)
            if found is not None:
                return found
            job = _Job(self, tree, snapshot, config, llvm, compiler, lock.fd)
            root, metalog = job.installed()
            self.progress.stage("image")
            return make_image(
                identity, root, metalog, self.workspace, self.runner, sandboxed=self.sandboxed
            )

    def _waiting(self, holder: str) -> None:
        self.progress.stage("waiting")
        note_holder(self.progress.note, "is using the same tree")(holder)


def _identity(snapshot: WorldSnapshot, config: WorldConfig, compiler: str) -> WorldIdentity:
    content = combined_hash((_RECIPE, snapshot.tree, config.digest, compiler))
    return WorldIdentity(
        key=combined_hash((content, config.services, image_digest())),
        source=snapshot.location,
        label=snapshot.label,
        commit=snapshot.commit,
        tree=snapshot.tree,
        dirty=snapshot.dirty,
        overlaid=snapshot.overlaid,
        release=snapshot.release,
        kind=config.kind.value,
        suites=config.suites,
        services=config.services.value,
        compiler=compiler,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """A build; the lock of the tree's world is held."""

    builder: WorldBuilder
    tree: SourceTree
    snapshot: WorldSnapshot
    config: WorldConfig
    llvm: Llvm
    compiler: str
    lock_fd: int

    def installed(self) -> tuple[Path, Metalog]:
        """Build and install the world and its suites; return the directory, and what is in it."""
        content = combined_hash((_RECIPE, self.snapshot.tree, self.config.digest, self.compiler))
        stamp = Stamp(self._home / "installed", content)
        if not (stamp.is_fresh() and self._root.is_dir()):
            self.builder.progress.stage("checkout")
            self._check_out()
            make = self._make()
            with stamp:
                self._build(make)
                self._install(make)
        metalog = Metalog()
        for name in self._metalogs():
            path = without_links(self._root_parent / name, self._root_parent)
            metalog.read(path.read_text("utf-8", "replace"), name)
        return self._root, metalog

    @property
    def _home(self) -> Path:
        return self.tree.home / "world"

    @property
    def _objects(self) -> Path:
        return self._home / f"obj-{self.llvm.major}"

    @property
    def _root_parent(self) -> Path:
        return self._home / "install"

    @property
    def _root(self) -> Path:
        return self._root_parent / "root"

    @property
    def _source(self) -> Path:
        return self._home / "src"

    def _metalogs(self) -> list[str]:
        return ["METALOG.world", *(["METALOG.tests"] if self.config.suites else [])]

    def _log(self, name: str) -> Path:
        return self._home / "logs" / f"{name}.log"

    def _check_out(self) -> None:
        make_directory(self._home)
        self.tree.checkout_into(self.snapshot.tree, self._source)

    def _make(self) -> Make:
        builder = self.builder
        builder.progress.stage("make")
        if builder.sandboxed:
            require(builder.runner)
        bmake_home = self._home / f"bmake-{self.snapshot.make[:12]}"
        bmake = bootstrap_bmake(
            self._source, bmake_home, builder.runner, sandboxed=builder.sandboxed
        )
        bindir = self.llvm.bindir
        make = Make(
            bmake, self._source, self._objects, self.llvm, builder.runner, self.lock_fd,
            limits=builder.logs,
            src_conf=self._home / "src.conf",
            programs={
                **{name: str(bindir / program) for name, program in _PROGRAMS.items()},
                # Some builds of clang link C++ for FreeBSD with libstdc++ unless told otherwise.
                "XCXX": f"{bindir / 'clang++'} -stdlib=libc++",
            },
        )  # fmt: skip
        # Without ccache(1): most files are small, and a world is seldom built twice.
        writable = (make.output, self._root_parent)
        for directory in writable:
            make_directory(directory)
        if builder.sandboxed:
            make = replace(make, sandbox=Sandbox((self._home,), writable))
        keep_to_compiler(self._objects, self._output(make), self.compiler)
        return make

    def _build(self, make: Make) -> None:
        write_atomic(self._home / "src.conf", self.config.src_conf)
        stamp = Stamp(
            self._objects / "world",
            combined_hash((self.snapshot.tree, self.config.src_conf, self.compiler)),
        )
        if not stamp.is_fresh():
            self.builder.progress.stage("world", self._log("world"))
            if stamp.was_interrupted():
                stamp.remove_newer(make.output)
            with stamp:
                make.run([parallel(), *self.config.arguments, "buildworld"], self._log("world"))
        if self.config.suites:
            self.builder.progress.stage("suites", self._log("suites"))
            target = [parallel(), self._of_suites, "everything"]
            self._with_tests(make).run(target, self._log("suites"))

    def _with_tests(self, make: Make) -> Make:
        """Return the make that builds suites, which the world is built without."""
        src_conf = self._home / "src-suites.conf"
        write_atomic(src_conf, self.config.suites_conf)
        return replace(make, src_conf=src_conf)

    @property
    def _of_suites(self) -> str:
        """Make's argument for the suites alone."""
        return f"SUBDIR_OVERRIDE={' '.join(self.config.suites)}"

    def _install(self, make: Make) -> None:
        self.builder.progress.stage("install", self._log("install"))
        # Its own files cannot be removed by an ordinary user where a directory is read-only.
        make.run_script('chmod -R u+rwX "$1" && rm -rf "$1"; mkdir -p "$1"', [self._root],
                        self._log("install"))  # fmt: skip
        run = partial(self._run_install, make)
        run("METALOG.world", "installworld")
        run("METALOG.world", "distribution")
        if self.config.suites:
            # installworld begins its METALOG anew.
            run = partial(self._run_install, self._with_tests(make))
            run("METALOG.tests", self._of_suites, "installworld")

    def _run_install(self, make: Make, metalog: str, *target: str) -> None:
        words = make.command(
            ["-DNO_ROOT", "DB_FROM_SRC=yes", f"DESTDIR={self._root}",
             f"METALOG={self._root_parent / metalog}", *self.config.arguments, *target]
        )  # fmt: skip
        legacy = self._output(make) / "tmp/legacy/usr/bin"
        strip = self.llvm.bindir / _PROGRAMS["STRIPBIN"]
        make.run_script(_INSTALL, [strip, legacy, *words], self._log(f"install-{target[-1]}"))

    def _output(self, make: Make) -> Path:
        return make.output / f"{GUEST.name}.{GUEST.target_arch}"
