"""Builds of kernels, loaders and check modules from source trees (FreeBSD's build(7))."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.arch import GUEST
from harness.errors import BuildError, UnobservableError
from harness.host.loglimits import USUAL_LIMITS, LogLimits
from harness.host.sandbox import Sandbox, require
from harness.host.workspace import Workspace, make_directory, note_holder, write_atomic
from harness.kernel.artifact import KernelArtifact, KernelCache, KernelIdentity, rebuilding
from harness.kernel.dependencies import READS, sources_read
from harness.kernel.identity import identity_of
from harness.kernel.leftovers import (
    TOOLS,
    damaged,
    keep_sizes,
    object_sizes,
    sizes_below,
    without_links,
)
from harness.kernel.make import LOADER_OPTIONS, TOOLCHAIN_OPTIONS, Make, find_ccache, parallel
from harness.kernel.module import MODULE, lay_out, module_file, module_script, module_sources
from harness.kernel.stamp import Stamp
from harness.kernel.toolchain import (
    Llvm,
    best_llvm,
    bootstrap_bmake,
    installed_llvms,
    keep_to_compiler,
    kept_compiler_version,
)
from harness.kernel.treemodule import (
    built_tree_module,
    prepared_tree_module,
    tree_module_file,
)
from harness.kerneloptions import require_known
from harness.source.revision import Snapshot, combined_hash
from harness.source.treelocks import being_read, locked

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.kernel.spec import KernelConfig
    from harness.source.change import Change
    from harness.source.tree import SourceTree

T = TypeVar("T")

#: Incremented when a change of the build procedure changes its output.
_RECIPE = "1"


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds kernels on this host.

    Args:
        workspace: the workspace of objects and kernels.
        runner: starts git, make and compilers.
        clock: the clock for make's timestamps.
        progress: receives the stages.
        sandboxed: whether the tree's build system runs in a sandbox.
        logs: limits of the logs.
        clean: build kernels without objects of earlier builds, with one job.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    progress: Progress
    sandboxed: bool = True
    logs: LogLimits = USUAL_LIMITS
    clean: bool = False

    def build(
        self,
        tree: SourceTree,
        change: Change,
        config: KernelConfig,
        *,
        modules: Sequence[str] = (),
        loadable: Sequence[str] = (),
    ) -> KernelArtifact:
        """Return the kernel of ``tree`` with ``change``, from the cache or built.

        ``modules`` names the subsystems whose check modules (``harness.kernel.module``) are built,
        ``loadable`` the tree's own modules (``harness.kernel.treemodule``).

        Raises:
            UsageError: the revision, patch, mutant, tree or configuration is wrong.
            BuildError: the revision does not build.
            UnobservableError: a module does not build against it.
            InfraError: the host failed.
        """
        with being_read(tree, self.workspace, partial(self._waiting, "reading")):
            self.progress.stage("source")
            llvms = installed_llvms()
            with ThreadPoolExecutor(len(llvms) + 1) as beside:
                versions = {
                    llvm: beside.submit(kept_compiler_version, llvm, self.runner, tree.home)
                    for llvm in llvms
                }
                snapshot = tree.snapshot(change)
            if config.options or config.for_worlds:
                listings = tree.texts(snapshot, "sys/conf/options", *GUEST.options)
                require_known(config.options, listings)
                config = config.completed(listings[0]) if config.for_worlds else config
        llvm = best_llvm(snapshot.llvm, llvms)
        compiler = versions[llvm].result()
        key = combined_hash((_RECIPE, snapshot.kernel, snapshot.loader, config.digest, compiler))
        identity = identity_of(key, snapshot, config, compiler, tree.checkout_directory)
        cached = KernelCache(self.workspace).find(key, lambda _: None)
        if cached is None or not cached.has_modules(modules, loadable):
            with locked(tree, self.workspace, partial(self._waiting, "building from")) as lock_fd:
                job = _Job(self, tree, snapshot, config, llvm, compiler, lock_fd)
                cached = self._completed(job, identity, modules, loadable)
        # The cached kernel may have been built under another name of the same tree.
        identity = replace(identity, files=cached.identity.files)
        return replace(cached, identity=identity)

    def _completed(
        self, job: _Job, identity: KernelIdentity, modules: Sequence[str], loadable: Sequence[str]
    ) -> KernelArtifact:
        """Build what is missing, unless the lock's previous holder has built it."""
        cache = KernelCache(self.workspace)
        damage: list[str] = []
        cached = cache.find(identity.key, rebuilding(damage.append))
        if cached is None:
            for line in damage:
                self.progress.note(line)
            # The objects that the damaged kernel was linked to may be damaged, too.
            made = self._make(job, partial(job.run, relink=bool(damage)))
            cached = cache.store(identity, made)
        for name in modules:
            if name not in cached.modules:
                built = self._make(job, partial(job.module, name))
                cached = cache.add(cached, module_file(name), built)
        for name in loadable:
            if name not in cached.loadable:
                built = self._make(job, partial(job.tree_module, name))
                cached = cache.add(cached, tree_module_file(name, built.name), built)
        return cached

    def _make(self, job: _Job, work: Callable[[], T]) -> T:
        """Check out and build.

        bmake compares timestamps in whole seconds, so a file must not be checked out in the second
        in which its old object was built.
        """
        ended = job.tree.home / "last-build"
        if ended.exists() and self.clock.now().timestamp() - ended.stat().st_mtime < 1.0:
            self.clock.sleep(1.0)
        job.tree.checkout(job.snapshot)
        try:
            return work()
        finally:
            write_atomic(ended, "")

    def _waiting(self, doing: str, holder: str) -> None:
        self.progress.stage("waiting")
        note_holder(self.progress.note, f"is {doing} the same tree")(holder)


@dataclass(frozen=True, slots=True)
class _Job:
    """A build; the tree's lock is held."""

    builder: Builder
    tree: SourceTree
    snapshot: Snapshot
    config: KernelConfig
    llvm: Llvm
    compiler: str
    lock_fd: int

    def run(self, *, relink: bool) -> dict[str, Path]:
        """Build toolchain, kernel and loader, as far as they have changed; return the files.

        With ``relink``, the kernel is linked again even if nothing has changed.
        """
        make = self._make()
        self._toolchain(make)
        if relink:
            for name in ("kernel", "kernel.full", "kernel.debug"):
                (self._kernel_objects(make) / name).unlink(missing_ok=True)
        self._kernel(make)
        loader = self._loader(make)
        directory = self._kernel_objects(make)
        reads = self._objects / READS
        write_atomic(reads, "\n".join(sorted(sources_read(directory, make.tree))))
        return {
            "kernel": without_links(directory / "kernel", make.output),
            "kernel.debug": without_links(directory / "kernel.debug", make.output),
            "loader.efi": loader,
            "config": self._config_directory / self.config.name,
            READS: reads,
        }

    def module(self, subsystem: str) -> Path:
        """Build a subsystem's check module for the snapshot's kernel, and return its path."""
        make = self._make_for_modules()
        work = self._module_directory / subsystem
        make_directory(work)
        lay_out(module_sources(subsystem), work)
        script = module_script(make, subsystem, work, self._kernel_objects(make))
        try:
            self._run_inside(make, "module", script)
        except BuildError as error:
            raise UnobservableError(
                f"cannot check {subsystem}: its check module does not build against this kernel",
                remedy="adapt the module to the changed structures, or boot without it: "
                "harness boot",
                detail=error.detail,
            ) from error
        return without_links(work / f"{MODULE}.ko", work)

    def tree_module(self, name: str) -> Path:
        """Build a module of the tree for the snapshot's kernel, and return its path."""
        make = self._make_for_modules()
        work, script = prepared_tree_module(
            make, name, self._module_directory, self._kernel_objects(make)
        )
        self._run_inside(make, "module", script)
        return without_links(built_tree_module(work, name), work)

    def _make_for_modules(self) -> Make:
        """Return the make for modules of the kernel, which is built first if it is not there."""
        make = self._make()
        built = Stamp(self._objects / self.config.name, self.snapshot.kernel)
        if not (built.is_fresh() and self._kernel_objects(make).is_dir()):
            self._toolchain(make)
            self._kernel(make)
        self.builder.progress.stage("module", self._log("module"))
        return make

    @property
    def _objects(self) -> Path:
        return self.tree.home / f"obj-{self.llvm.major}"

    @property
    def _config_directory(self) -> Path:
        return self._objects / "kernconf"

    @property
    def _module_directory(self) -> Path:
        return self._objects / "modules" / self.config.name

    def _log(self, name: str) -> Path:
        return self.tree.home / "logs" / f"{name}.log"

    def _make(self) -> Make:
        self.builder.progress.stage("make")
        if self.builder.sandboxed:
            require(self.builder.runner)
        bmake_home = self.tree.home / f"bmake-{self.snapshot.make[:12]}"
        bmake = bootstrap_bmake(
            self.tree.checkout_directory, bmake_home, self.builder.runner,
            sandboxed=self.builder.sandboxed,
        )  # fmt: skip
        make = Make(
            bmake, self.tree.checkout_directory, self._objects, self.llvm,
            self.builder.runner, self.lock_fd, find_ccache(), self.tree.home / "ccache",
            limits=self.builder.logs,
        )  # fmt: skip
        writable = (make.output, self._module_directory, self.tree.home / "ccache")
        for directory in writable:
            make_directory(directory)
        if self.builder.sandboxed:
            readable = (make.tree, self._objects, bmake_home)
            make = replace(make, sandbox=Sandbox(readable, writable))
        keep_to_compiler(self._objects, self._output(make), self.compiler)
        return make

    def _toolchain(self, make: Make) -> None:
        stamp = Stamp(self._objects / "toolchain", self.snapshot.toolchain)
        tools = without_links(self._output(make) / "tmp", make.output)
        memory = self._objects / "toolchain.sizes"
        wrong = damaged(sizes_below(tools, TOOLS), memory) if stamp.is_fresh() else []
        if stamp.is_fresh() and not wrong:
            if not memory.exists():  # built by an older version
                keep_sizes(sizes_below(tools, TOOLS), memory)
            return
        self.builder.progress.stage("toolchain", self._log("toolchain"))
        if wrong:
            self.builder.progress.note(f"rebuilding damaged build tools ({wrong[0]})")
        if stamp.was_interrupted() or wrong:
            shutil.rmtree(self._output(make), ignore_errors=True)
        memory.unlink(missing_ok=True)
        with stamp:
            make.run([parallel(), *TOOLCHAIN_OPTIONS, "kernel-toolchain"], self._log("toolchain"))
        keep_sizes(sizes_below(tools, TOOLS), memory)

    def _kernel(self, make: Make) -> None:
        self.builder.progress.stage("kernel", self._log(self.config.name))
        directory = self._kernel_objects(make)
        configured = Stamp(
            self._objects / f"{self.config.name}.config",
            combined_hash((self.snapshot.config, self.snapshot.toolchain, self.config.digest)),
        )
        built = Stamp(self._objects / self.config.name, self.snapshot.kernel)
        memory = self._objects / f"{self.config.name}.sizes"
        if built.was_interrupted():
            built.remove_newer(directory)
        else:
            for name in damaged(object_sizes(directory), memory):
                (directory / name).unlink(missing_ok=True)
        memory.unlink(missing_ok=True)
        if self.builder.clean:
            shutil.rmtree(directory, ignore_errors=True)
        # The user may have removed the objects.
        is_configured = configured.is_fresh() and directory.is_dir()
        if not (is_configured and self._remade(make, directory, built)):
            write_atomic(self._config_directory / self.config.name, self.config.text)
            with configured, built:
                make.build_kernel(
                    self.config.name, self._config_directory, self._log(self.config.name),
                    alone=self.builder.clean,
                )  # fmt: skip
        keep_sizes(object_sizes(directory), memory)
        if not (directory / "kernel.debug").is_file():
            raise BuildError(
                f"the kernel of configuration {self.config.name} has no debug symbols",
                remedy="add to the configuration: makeoptions DEBUG=-g",
            )

    def _remade(self, make: Make, directory: Path, built: Stamp) -> bool:
        """Compile what has changed, and link; return False if that fails.

        It may fail because of stale dependencies, which ``buildkernel`` removes.
        """
        try:
            with built:
                make.remake_kernel(self.config.name, directory, self._log(self.config.name))
        except BuildError:
            return False
        return True

    def _loader(self, make: Make) -> Path:
        loader = self._output(make) / "stand/efi/loader_simp/loader_simp.efi"
        stamp = Stamp(self._objects / "loader", self.snapshot.loader)
        if stamp.is_fresh() and loader.is_file():
            return without_links(loader, make.output)
        self.builder.progress.stage("loader", self._log("loader"))
        with stamp:
            self._run_inside(make, "loader", _loader_script(make))
        return without_links(loader, make.output)

    def _run_inside(self, make: Make, name: str, text: str) -> None:
        """Run a script in the tree's build environment."""
        script = self._objects / f"{name}.sh"
        write_atomic(script, text)
        script.chmod(0o755)
        make.run([f"BUILDENV_SHELL={script}", "buildenv"], self._log(name))

    def _output(self, make: Make) -> Path:
        """Return the object directory: MAKEOBJDIRPREFIX, the tree's path, and the target."""
        return make.output / f"{GUEST.name}.{GUEST.target_arch}"

    def _kernel_objects(self, make: Make) -> Path:
        return without_links(self._output(make) / "sys" / self.config.name, make.output)


def _loader_script(make: Make) -> str:
    """Return the script that builds loader_simp.efi and its libraries inside ``buildenv``.

    ``buildenv`` itself does not accept ``-j``.
    """
    options = " ".join(LOADER_OPTIONS)
    return (
        f"#!{shutil.which('sh')}\nset -e\n"
        "for part in libsa efi/libefi efi/loader_simp; do\n"
        f"  (cd stand/$part && {make.bmake} {parallel()} {options} obj all)\n"
        "done\n"
    )
