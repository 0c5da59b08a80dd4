"""The tree's own build system, run on this host: arguments, logs, and what its errors say."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.host.loglimits import TAIL, USUAL_LIMITS, LogLimits, OutputLog
from harness.host.workspace import make_folder, write_atomic

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.sandbox import Sandbox
    from harness.kernel.toolchain import Llvm

#: Parts of the toolchain that no kernel needs; without them it is built in a fraction
#: of the time, and without most of contrib (see src.conf(5)).
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

#: Lines of a build's log that say what is wrong, as compilers, linkers, config(8)
#: and make itself write them.
_ERROR_LINE = re.compile(
    r"(?::\d+(?::\d+)?: (?:fatal )?error: |^(?:ld(?:\.lld)?|clang(?:-\d+)?): error: "
    r"|^config: |unknown option \"|don't know how to make|undefined (?:symbol|reference)"
    r"|No space left on device|^\*\*\* )"
)
_UNKNOWN_OPTION = re.compile(r'unknown option "([^"]*)"')
#: lld writes through a mapping of its output, so that a full disk ends it by SIGBUS.
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|Bus error")


def find_ccache() -> Path | None:
    """The host's ccache(1), which is used wherever it is installed."""
    found = shutil.which("ccache")
    return Path(found) if found else None


def parallel() -> str:
    """make's option to use every processor of the host."""
    return f"-j{(os.cpu_count() or 1) + 1}"


def kernel_target(name: str, folder: Path) -> list[str]:
    """make's arguments for a kernel alone.

    Args:
        name: KERNCONF.
        folder: the configuration's.
    """
    return [
        parallel(),
        f"KERNCONF={name}",
        f"KERNCONFDIR={folder}",
        "NO_MODULES=yes",
        "WITHOUT_CTF=yes",
        "buildkernel",
    ]


#: What the kernel's own make reads before its makefile when ``buildkernel`` starts it
#: (``KERNEL_FLAGS``, Makefile.inc1): it writes down its environment as the shell's commands.
_REMEMBER = "HARNESS_REMEMBERS!=\texport -p >{}\n"

#: Runs a command in the environment that a file holds: read inside the sandbox, since a build may
#: write what it likes there. Home and temporary files are where they are now, and the job server
#: of that time is gone.
_AS_REMEMBERED = """\
home=$HOME temporary=${TMPDIR-/tmp} remembered=$1
shift
. "$remembered"
HOME=$home TMPDIR=$temporary
MAKEFLAGS=$(printf %s "$MAKEFLAGS" | sed 's/ -J [0-9]*,[0-9]*//')
exec "$@"
"""

#: As much as a few kernels' objects take, compressed.
_CCACHE_SIZE = "2G"


@dataclass(frozen=True, slots=True)
class Make:
    """The tree's make, ready to run.

    Args:
        bmake: the tree's own make, built for this host.
        tree: the source files.
        objects: MAKEOBJDIRPREFIX.
        llvm: the compiler for the target.
        runner: starts it.
        lock_fd: the tree's lock, which every process of the build keeps held.
        ccache: ccache(1), which knows what was compiled before; None without one.
        ccache_dir: its directory; no two trees share one, so that none gives another its objects.
        sandbox: what the build is run in; None for none.
        limits: of the logs.
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

    @property
    def output(self) -> Path:
        """Below which make puts all that it builds: MAKEOBJDIRPREFIX and the tree's path."""
        return Path(f"{self.objects}{self.tree}")

    def run(self, target: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        """Make ``target`` (with its variables), all output into ``log``.

        Raises:
            BuildError: the revision does not build; the compiler's lines are the detail.
            UsageError: config(8) refused the configuration.
            InfraError: the disk is full.
        """
        self._run(self.command(target), self.tree, {**self.environment(), **(env or {})}, log)

    def build_kernel(self, name: str, folder: Path, log: Path) -> None:
        """``buildkernel`` of a configuration in a folder, and what ``remake_kernel`` needs.

        Raises:
            see ``run``.
        """
        makefile = self.objects / f"{name}.mk"
        write_atomic(makefile, _REMEMBER.format(self._remembered(name)))
        flags = f"-f {makefile} -f Makefile"
        self.run(kernel_target(name, folder), log, {"KERNEL_FLAGS": flags})

    def remake_kernel(self, name: str, objects: Path, log: Path) -> None:
        """The last step of ``buildkernel`` alone, in the environment that it had then.

        Right while nothing has changed but what the kernel is compiled from: the steps before
        only configure, and build tools. They are a third of the time of a small change.

        Raises:
            BuildError: it does not build so, or it was never built.
            InfraError: the disk is full.
        """
        remembered = self._remembered(name)
        if not remembered.is_file():
            raise BuildError("the kernel was never built", remedy="build it")
        words: list[str | Path] = [self.bmake, "KERNEL=kernel", "all", "-DNO_MODULES_OBJ"]
        self._run(["sh", "-ec", _AS_REMEMBERED, "sh", remembered, *words], objects, {}, log)

    def _remembered(self, name: str) -> Path:
        return self.output / f"{name}.environment"

    def _run(
        self, command: Sequence[str | Path], folder: Path, env: Mapping[str, str], log: Path
    ) -> None:
        make_folder(log.parent)
        if self.sandbox is not None:
            command = self.sandbox.words(command, folder)
        with OutputLog(log, self.limits) as output:
            process = self.runner.spawn(
                command, cwd=folder, env=env,
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
                remedy=f"the beginning of the log is {log}; log.end of the settings is the limit",
            )
        if status != 0:
            raise build_failure(bytes(output.tail[-TAIL:]).decode("utf-8", "replace"), log)

    def command(self, target: Sequence[str]) -> list[str | Path]:
        """The command line.  No file of the host's (make.conf, src.conf) has a say."""
        return [
            self.bmake,
            "__MAKE_CONF=/dev/null",
            "SRCCONF=/dev/null",
            "SRC_ENV_CONF=/dev/null",
            "-DWITH_AUTO_OBJ",
            "-DWITHOUT_CLEAN",
            "-DWITH_REPRODUCIBLE_BUILD",
            f"TARGET={GUEST.name}",
            f"TARGET_ARCH={GUEST.target_arch}",
            # src.conf(5) and share/mk/bsd.compiler.mk, which looks below LOCALBASE by itself.
            *([f"CCACHE_BIN={self.ccache}", "-DWITH_CCACHE_BUILD"] if self.ccache else []),
            *target,
        ]

    def environment(self) -> dict[str, str]:
        """What ``tools/build/make.py`` sets for a build on another system."""
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
            **self._ccache_environment(),
        }

    def _ccache_environment(self) -> dict[str, str]:
        if self.ccache_dir is None:
            return {}
        return {"CCACHE_DIR": str(self.ccache_dir), "CCACHE_MAXSIZE": _CCACHE_SIZE}


def build_failure(log_text: str, log: Path) -> HarnessError:
    """The error that the end of a build's log amounts to, by who is to blame."""
    lines = [line for line in log_text.splitlines() if _ERROR_LINE.search(line)]
    detail = "\n".join(line[:400] for line in lines[:20]) or log_text[-2000:]
    where = f"the whole log is {log}"
    if _NO_SPACE.search(log_text):
        return InfraError(
            "the disk is full: the build could not go on",
            remedy=f"free some space (harness gc removes old kernels); {where}",
            detail=detail,
        )
    option = _UNKNOWN_OPTION.search(log_text)
    if option is not None:
        return UsageError(
            f"the kernel configuration has the option {option[1]}, which this tree does not know",
            remedy=f"correct the configuration; sys/conf/options* list the options; {where}",
            detail=detail,
        )
    refused = [line for line in lines if line.startswith("config: ")]
    if refused:
        return UsageError(
            f"config(8) refused the kernel configuration: {refused[0].removeprefix('config: ')}",
            remedy=f"correct the configuration; {where}",
            detail=detail,
        )
    return BuildError("the revision does not build", remedy=where, detail=detail)
