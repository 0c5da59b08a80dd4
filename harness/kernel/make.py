"""The tree's own build system on this host: arguments, environment, logs and errors."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.host.loglimits import TAIL, USUAL_LIMITS, LogLimits, OutputLog
from harness.host.workspace import make_directory, write_atomic

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.sandbox import Sandbox
    from harness.kernel.toolchain import Llvm

#: Parts of the toolchain that no kernel needs (src.conf(5)). Without them, it builds in a fraction
#: of the time, and without most of contrib.
TOOLCHAIN_OPTIONS = tuple(
    f"-DWITHOUT_{name}"
    for name in (
        "BSNMP", "CLANG", "CLANG_BOOTSTRAP", "CTF", "FILE", "GAMES", "ICONV", "KERBEROS",
        "LLD", "LLDB", "LLD_BOOTSTRAP", "LLVM_BINUTILS", "LOCALES", "PMC", "RESCUE",
        "TCSH", "TESTS", "ZONEINFO",
    )
)  # fmt: skip

#: Parts of the loader that a memory-disk root does not need.
LOADER_OPTIONS = tuple(
    f"-DWITHOUT_{name}"
    for name in ("BEARSSL", "FORTH", "LOADER_GELI", "LOADER_LUA", "LOADER_ZFS", "TESTS")
)

#: Error lines in a build's log, of compilers, linkers, config(8) and make(1).
_ERROR_LINE = re.compile(
    r"(?::\d+(?::\d+)?: (?:fatal )?error: |^(?:ld(?:\.lld)?|clang(?:-\d+)?): error: "
    r"|^config: |unknown option \"|don't know how to make|undefined (?:symbol|reference)"
    r"|No space left on device|^\*\*\* )"
)
_UNKNOWN_OPTION = re.compile(r'unknown option "([^"]*)"')
#: lld writes its output through mmap(2), so a full disk kills it with SIGBUS.
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|Bus error")


def find_ccache() -> Path | None:
    """Return the path of ccache(1), which is used if it is installed."""
    found = shutil.which("ccache")
    return Path(found) if found else None


def parallel() -> str:
    """Return make's option to use all CPUs of the host."""
    return f"-j{(os.cpu_count() or 1) + 1}"


def kernel_target(name: str, directory: Path, *, alone: bool = False) -> list[str]:
    """Return make's arguments for a kernel without modules.

    Args:
        name: KERNCONF.
        directory: directory of the configuration.
        alone: run one job at a time.
    """
    return [
        "-j1" if alone else parallel(),
        f"KERNCONF={name}",
        f"KERNCONFDIR={directory}",
        "NO_MODULES=yes",
        "WITHOUT_CTF=yes",
        "buildkernel",
    ]


#: A makefile that ``buildkernel`` reads before the kernel's own (``KERNEL_FLAGS``, Makefile.inc1).
#: It saves the environment as shell commands.
_SAVE_ENVIRONMENT = "HARNESS_REMEMBERS!=\texport -p >{}\n"

#: Runs a command in a saved environment. The file is read inside the sandbox, since a build may
#: have changed it. HOME and TMPDIR keep their values, and make's old job server is removed.
_IN_SAVED_ENVIRONMENT = """\
home=$HOME temporary=${TMPDIR-/tmp} remembered=$1
shift
. "$remembered"
HOME=$home TMPDIR=$temporary
MAKEFLAGS=$(printf %s "$MAKEFLAGS" | sed 's/ -J [0-9]*,[0-9]*//')
exec "$@"
"""

#: The size of a few kernels' objects, compressed.
_CCACHE_SIZE = "2G"


@dataclass(frozen=True, slots=True)
class Make:
    """The tree's make(1).

    Args:
        bmake: the tree's make, built for this host.
        tree: directory of the sources.
        objects: MAKEOBJDIRPREFIX.
        llvm: the compiler for the target.
        runner: starts make.
        lock_fd: descriptor of the tree's lock, which every process of the build inherits.
        ccache: path of ccache(1), or None.
        ccache_dir: its directory, one for each tree, so that no tree uses objects of another.
        sandbox: the sandbox of the build; None: no sandbox.
        limits: limits of the logs.
        src_conf: src.conf(5); None: an empty one.
        programs: more variables of the environment: paths of LLVM's other programs.
    """

    bmake: Path
    tree: Path
    objects: Path
    llvm: Llvm
    runner: Runner
    lock_fd: int
    ccache: Path | None = None
    ccache_dir: Path | None = None
    sandbox: Sandbox | None = None
    limits: LogLimits = USUAL_LIMITS
    src_conf: Path | None = None
    programs: Mapping[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The directory of everything that make builds: MAKEOBJDIRPREFIX and the tree's path."""
        return Path(f"{self.objects}{self.tree}")

    def run(self, target: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        """Build ``target``, with its variables, and write all output to ``log``.

        Raises:
            BuildError: the revision does not build; ``detail`` has the errors.
            UsageError: config(8) refused the configuration.
            InfraError: the disk is full.
        """
        self._run(self.command(target), self.tree, {**self.environment(), **(env or {})}, log)

    def build_kernel(
        self, name: str, directory: Path, log: Path, *, alone: bool = False
    ) -> None:  # fmt: skip
        """Run ``buildkernel`` for a configuration in ``directory``; save the environment.

        Args:
            name: KERNCONF.
            directory: directory of the configuration.
            log: file of its output.
            alone: run one job at a time.

        Raises:
            BuildError: the revision does not build; ``detail`` has the errors.
            UsageError: config(8) refused the configuration.
            InfraError: the disk is full.
        """
        makefile = self.objects / f"{name}.mk"
        write_atomic(makefile, _SAVE_ENVIRONMENT.format(self._environment_file(name)))
        flags = f"-f {makefile} -f Makefile"
        self.run(kernel_target(name, directory, alone=alone), log, {"KERNEL_FLAGS": flags})

    def remake_kernel(self, name: str, objects: Path, log: Path) -> None:
        """Run only the last step of ``buildkernel``, in the saved environment.

        Correct if only sources of the kernel have changed: the steps before configure the kernel
        and build tools. They take a third of the time of a build after a small change.

        Raises:
            BuildError: the kernel does not build in this way, or was never built.
            InfraError: the disk is full.
        """
        saved = self._environment_file(name)
        if not saved.is_file():
            raise BuildError("the kernel was never built", remedy="build it: harness build")
        words: list[str | Path] = [self.bmake, "KERNEL=kernel", "all", "-DNO_MODULES_OBJ"]
        self._run(["sh", "-ec", _IN_SAVED_ENVIRONMENT, "sh", saved, *words], objects, {}, log)

    def _environment_file(self, name: str) -> Path:
        return self.output / f"{name}.environment"

    def run_script(self, script: str, words: Sequence[str | Path], log: Path) -> None:
        """Run a script of sh(1), in the tree's directory, with ``words`` as its arguments.

        Raises as ``run``.
        """
        self._run(["sh", "-ec", script, "sh", *words], self.tree, self.environment(), log)

    def _run(
        self, command: Sequence[str | Path], directory: Path, env: Mapping[str, str], log: Path
    ) -> None:
        make_directory(log.parent)
        if self.sandbox is not None:
            command = self.sandbox.words(command, directory)
        with OutputLog(log, self.limits) as output:
            process = self.runner.spawn(
                command, cwd=directory, env=env,
                stdout=output.pipe, stderr=output.pipe, pass_fds=(self.lock_fd,),
            )  # fmt: skip
            output.pipe.close()
            try:
                status = process.wait()
            finally:
                process.kill()
        if output.flooded:
            raise BuildError(
                f"the revision does not build: it printed more than {self.limits.end} bytes",
                remedy=f"read the start of its output: {log}; the setting log.end is the limit",
            )
        if status != 0:
            raise build_failure(bytes(output.tail[-TAIL:]).decode("utf-8", "replace"), log)

    def command(self, target: Sequence[str]) -> list[str | Path]:
        """Return the command line, which excludes the host's make.conf and src.conf."""
        return [
            self.bmake,
            "__MAKE_CONF=/dev/null",
            f"SRCCONF={self.src_conf or os.devnull}",
            "SRC_ENV_CONF=/dev/null",
            "-DWITH_AUTO_OBJ",
            "-DWITHOUT_CLEAN",
            "-DWITH_REPRODUCIBLE_BUILD",
            f"TARGET={GUEST.name}",
            f"TARGET_ARCH={GUEST.target_arch}",
            # src.conf(5) and share/mk/bsd.compiler.mk; by default, it searches LOCALBASE.
            *([f"CCACHE_BIN={self.ccache}", "-DWITH_CCACHE_BUILD"] if self.ccache else []),
            *target,
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment of a build on another system, as in ``tools/build/make.py``."""
        bindir = self.llvm.bindir
        return {
            "MAKEOBJDIRPREFIX": str(self.objects),
            "CC": "cc",
            "CXX": "c++",
            "CPP": "cpp",
            "XCC": str(bindir / "clang"),
            "XCXX": str(bindir / "clang++"),
            "XCPP": str(bindir / "clang-cpp"),
            "XLD": str(bindir / "ld.lld"),
            "LC_ALL": "C",
            **self.programs,
            **self._ccache_environment(),
        }

    def _ccache_environment(self) -> dict[str, str]:
        if self.ccache_dir is None:
            return {}
        return {"CCACHE_DIR": str(self.ccache_dir), "CCACHE_MAXSIZE": _CCACHE_SIZE}


def build_failure(log_text: str, log: Path) -> HarnessError:
    """Return the error of a failed build, by the end of its log."""
    lines = [line for line in log_text.splitlines() if _ERROR_LINE.search(line)]
    detail = "\n".join(line[:400] for line in lines[:20]) or log_text[-2000:]
    read = f"read the log: {log}"
    if _NO_SPACE.search(log_text):
        return InfraError(
            "the build failed: the disk is full",
            remedy=f"free disk space, for example: harness gc --limit 10G; {read}",
            detail=detail,
        )
    option = _UNKNOWN_OPTION.search(log_text)
    if option is not None:
        return UsageError(
            f"the kernel configuration has the option {option[1]}, which the tree does not have",
            remedy=f"correct the configuration; sys/conf/options* list the options; {read}",
            detail=detail,
        )
    refused = [line for line in lines if line.startswith("config: ")]
    if refused:
        return UsageError(
            f"config(8) refused the kernel configuration: {refused[0].removeprefix('config: ')}",
            remedy=f"correct the configuration; {read}",
            detail=detail,
        )
    return BuildError("the revision does not build", remedy=read, detail=detail)
