"""Checks of this host, each with the command that installs what is missing."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import HarnessError
from harness.host.accelerator import qemu_version
from harness.host.cachesize import format_size
from harness.host.memory import available_memory
from harness.host.programs import find_program
from harness.host.sandbox import require
from harness.host.workspace import Workspace, make_directory

if TYPE_CHECKING:
    from harness.host.process import Runner

GIB: Final = 1 << 30

LEAST_MEMORY: Final = 5 * GIB // 2
"""Memory of two nodes of 1 GiB, and of QEMU."""

LEAST_DISK: Final = 3 * GIB
"""Disk space of a FreeBSD tree's sources, toolchain and objects, and of a kernel with symbols."""

#: Programs that FreeBSD's build or the harness runs, with their packages.
PROGRAMS: Final = {
    "git": "git",
    "makefs": "makefs",
    "cc": "gcc",
    "c++": "g++",
    "bc": "bc",
    "bison": "bison",
    "flex": "flex",
    "gawk": "gawk",
    "m4": "m4",
    "pkill": "procps",
    "yacc": "byacc",
}

#: Headers that FreeBSD's host tools include, with the packages of header and library.
HEADERS: Final = {
    "archive.h": "libarchive-dev",
    "bsd/stdlib.h": "libbsd-dev",
    "openssl/sha.h": "libssl-dev",
    "zlib.h": "zlib1g-dev",
}

#: LLVM tools that link host programs.
HOST_TOOLS: Final = ("llvm-nm", "llvm-objcopy")

#: LLVM versions, with the FreeBSD releases that are best built with them.
RELEASES: Final = {14: "FreeBSD 13", 19: "FreeBSD 14 and 15"}


@dataclass(frozen=True, slots=True)
class HostFinding:
    """The result of a check.

    Args:
        name: what was checked.
        ok: whether it is present and usable.
        found: its version, path or amount; the problem if it is not ``ok``.
        remedy: the remedy; empty if it is ``ok``.
        needed: whether comparing kernels built from a tree requires it.
        packages: Debian packages to install.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True
    packages: tuple[str, ...] = ()


def good(name: str, found: str, *, needed: bool = True) -> HostFinding:
    """Return the result of a check that passed."""
    return HostFinding(name, True, found, needed=needed)


def lacking(name: str, *packages: str, needed: bool = True) -> HostFinding:
    """Return the result of a check for something that is not installed."""
    return HostFinding(name, False, "not installed", install(packages), needed, packages)


def install(packages: Sequence[str]) -> str:
    """Return the command that installs Debian packages."""
    return f"apt-get install {' '.join(packages)}"


def can_do_main_job(findings: Sequence[HostFinding]) -> bool:
    """Return whether all checks that are needed passed."""
    return all(finding.ok for finding in findings if finding.needed)


def missing_packages(findings: Sequence[HostFinding], *, needed: bool) -> list[str]:
    """Return the packages of failed checks, or only of those that are ``needed``, each once."""
    chosen = [f for f in findings if not f.ok and (f.needed or not needed)]
    return list(dict.fromkeys(package for f in chosen for package in f.packages))


def module_version(name: str) -> str | None:
    """Return the version of an installed Python distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _host_tools(version: int, directory: Path) -> Iterator[HostFinding]:
    """Yield what checks of host programs (``harness check --on host``) lack."""
    missing = [name for name in HOST_TOOLS if not (directory / name).is_file()]
    if directory.is_dir() and missing:
        yield lacking(f"{' and '.join(missing)} {version}", f"llvm-{version}", needed=False)


@dataclass(frozen=True, slots=True)
class Doctor:
    """Checks this host.

    Args:
        workspace: its disk is checked.
        runner: starts QEMU and the C compiler.
        accelerator: returns the accelerator and the reason; measures again if its argument is true.
        firmware: returns the UEFI firmware; raises a HarnessError if there is none.
        llvms: returns the directories of usable clang and lld, by version.
        program: returns the path of a program, or None.
        module: returns the version of a Python distribution, or None.
        memory: returns the available memory in bytes.
        backends: returns the results of checks for optional backends.
    """

    workspace: Workspace
    runner: Runner
    accelerator: Callable[[bool], str]
    firmware: Callable[[], Path]
    llvms: Callable[[], Mapping[int, Path]]
    program: Callable[[str], Path | None] = find_program
    module: Callable[[str], str | None] = module_version
    memory: Callable[[], int] = available_memory
    backends: Callable[[Doctor], Iterable[HostFinding]] = lambda _: ()

    def examine(self, *, refresh: bool = False) -> list[HostFinding]:
        """Return the results of all checks.

        Args:
            refresh: measure the accelerators again.
        """
        return [
            *self._guests(refresh),
            *self._compilers(),
            *self._programs(),
            self._sandbox(),
            *self._headers(),
            *self.backends(self),
            self._memory(),
            self._disk(),
        ]

    def _guests(self, refresh: bool) -> Iterator[HostFinding]:
        try:
            yield good("QEMU", qemu_version(self.runner))
        except HarnessError:
            yield lacking("QEMU", GUEST.package)
        else:
            yield self._accelerator(refresh)
        try:
            yield good(f"UEFI firmware ({GUEST.firmware.name})", str(self.firmware()))
        except HarnessError:
            yield lacking(f"UEFI firmware ({GUEST.firmware.name})", GUEST.firmware.package)

    def _accelerator(self, refresh: bool) -> HostFinding:
        try:
            return good("accelerator", self.accelerator(refresh))
        except HarnessError as error:
            return HostFinding("accelerator", False, error.message, error.remedy)

    def _compilers(self) -> Iterator[HostFinding]:
        found = self.llvms()
        for version in sorted({*RELEASES, *found}):
            name = f"clang and lld {version}"
            use = f" (best for {RELEASES[version]})" if version in RELEASES else ""
            if version in found:
                yield good(name, f"{found[version]}{use}")
                yield from _host_tools(version, found[version])
            else:
                packages = tuple(f"{part}-{version}" for part in ("clang", "lld", "llvm"))
                # Most trees build with any version; at least one is needed.
                needed = not found and version == min(RELEASES)
                yield HostFinding(
                    name, False, f"not installed{use}", install(packages), needed, packages
                )

    def _programs(self) -> Iterator[HostFinding]:
        for name, package in PROGRAMS.items():
            path = self.program(name)
            yield good(name, str(path)) if path else lacking(name, package)

    def _sandbox(self) -> HostFinding:
        path = self.program("bwrap")
        if path is None:
            return lacking("build sandbox (bubblewrap)", "bubblewrap")
        try:
            require(self.runner)
        except HarnessError as error:
            found = f"{error.message}: {error.detail}"
            return HostFinding("build sandbox (bubblewrap)", False, found, error.remedy)
        return good("build sandbox (bubblewrap)", str(path))

    def _headers(self) -> Iterator[HostFinding]:
        """Check for headers in the compiler's search path."""
        if self.program("cc") is None:
            return
        source = "".join(
            f"#if __has_include(<{header}>)\nfound {header}\n#endif\n" for header in HEADERS
        )
        lines = self.runner.run(
            ["cc", "-E", "-P", "-x", "c", "-"], stdin=source.encode(), check=False
        ).text.splitlines()
        for header, package in HEADERS.items():
            found = f"found {header}" in lines
            yield good(header, package) if found else lacking(header, package)

    def _memory(self) -> HostFinding:
        available = self.memory()
        if available >= LEAST_MEMORY:
            return good("memory", f"{format_size(available)} available")
        return HostFinding(
            "memory", False, f"{format_size(available)} available",
            f"end other programs: a guest with two nodes needs {format_size(LEAST_MEMORY)}",
        )  # fmt: skip

    def _disk(self) -> HostFinding:
        cache = self.workspace.cache
        try:
            make_directory(cache)
        except HarnessError as error:
            return HostFinding("disk", False, error.message, error.remedy)
        free = shutil.disk_usage(cache).free
        found = f"{format_size(free)} free in {cache}"
        if free >= LEAST_DISK:
            return good("disk", found)
        return HostFinding(
            "disk", False, found,
            f"remove old kernels: harness gc (a tree needs {format_size(LEAST_DISK)})",
        )  # fmt: skip
