"""What this host can do, and what it lacks, each with the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from harness.arch import GUEST
from harness.errors import HarnessError
from harness.host.accelerator import qemu_version
from harness.host.cachesize import format_size
from harness.host.sandbox import require
from harness.host.workspace import Workspace, make_folder

if TYPE_CHECKING:
    from harness.host.process import Runner

GIB: Final = 1 << 30

LEAST_MEMORY: Final = 5 * GIB // 2
"""Two nodes of a GiB each, and QEMU."""

LEAST_DISK: Final = 3 * GIB
"""A FreeBSD tree's sources, toolchain and objects, and a kernel with its symbols."""

_SBIN: Final = ("/usr/sbin", "/usr/local/sbin", "/sbin")

#: Programs that FreeBSD's build runs on the host, or that we run; with their package.
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

#: Headers that FreeBSD's host tools include, with the package that has header and library.
HEADERS: Final = {
    "archive.h": "libarchive-dev",
    "bsd/stdlib.h": "libbsd-dev",
    "openssl/sha.h": "libssl-dev",
    "zlib.h": "zlib1g-dev",
}

#: What links programs of the host.
HOST_TOOLS: Final = ("llvm-nm", "llvm-objcopy")

#: LLVM's version by the FreeBSD releases that are built with it best.
RELEASES: Final = {14: "FreeBSD 13", 19: "FreeBSD 14 and 15"}


@dataclass(frozen=True, slots=True)
class HostFinding:
    """One thing that was looked at.

    Args:
        name: what it is.
        ok: it is there and good.
        found: its version, place or amount; what is wrong with it if it is not ``ok``.
        remedy: what mends it; empty if it is ``ok``.
        needed: the main job, comparing kernels built from a tree, cannot do without it.
        packages: Debian packages that mend it.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True
    packages: tuple[str, ...] = ()


def good(name: str, found: str, *, needed: bool = True) -> HostFinding:
    """Something that is as it should be."""
    return HostFinding(name, True, found, needed=needed)


def lacking(name: str, *packages: str, needed: bool = True) -> HostFinding:
    """Something that is not installed."""
    return HostFinding(name, False, "not installed", install(packages), needed, packages)


def install(packages: Sequence[str]) -> str:
    """The command that installs Debian packages."""
    return f"apt-get install {' '.join(packages)}"


def can_do_main_job(findings: Sequence[HostFinding]) -> bool:
    """Whether nothing that is needed is missing."""
    return all(finding.ok for finding in findings if finding.needed)


def missing_packages(findings: Sequence[HostFinding], *, needed: bool) -> list[str]:
    """The packages that all (``needed``: the needed) failed findings ask for, each once."""
    chosen = [f for f in findings if not f.ok and (f.needed or not needed)]
    return list(dict.fromkeys(package for f in chosen for package in f.packages))


def find_program(name: str) -> Path | None:
    """Where a program is, also in the folders that an ordinary user's PATH leaves out."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN))
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def module_version(name: str) -> str | None:
    """The version of an installed Python distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def available_memory() -> int:
    """Bytes that this host can give to new processes without swapping."""
    return int(psutil.virtual_memory().available)


def _host_tools(version: int, folder: Path) -> Iterator[HostFinding]:
    """What checks of host programs (``harness check --on host``) lack, if they do."""
    missing = [name for name in HOST_TOOLS if not (folder / name).is_file()]
    if folder.is_dir() and missing:
        yield lacking(f"{' and '.join(missing)} {version}", f"llvm-{version}", needed=False)


@dataclass(frozen=True, slots=True)
class Doctor:
    """Looks at this host.

    Args:
        workspace: on the disk that fills.
        runner: starts QEMU and the C compiler.
        accelerator: chooses it and tells why, measuring anew if it is told to.
        firmware: the file of UEFI firmware; raises a HarnessError if there is none.
        llvms: the folders of clang and lld that kernels can be built with, by version.
        program: where a program is.
        module: the version of a Python distribution.
        memory: bytes of memory to be had.
        backends: what is found about those that the main job does not need.
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
        """Everything, in the order in which a user would mend it.

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
                # Any version will do for most trees; without one nothing can be built.
                needed = not found and version == min(RELEASES)
                yield HostFinding(
                    name, False, f"not installed{use}", install(packages), needed, packages
                )

    def _programs(self) -> Iterator[HostFinding]:
        for name, package in PROGRAMS.items():
            place = self.program(name)
            yield good(name, str(place)) if place else lacking(name, package)

    def _sandbox(self) -> HostFinding:
        place = self.program("bwrap")
        if place is None:
            return lacking("sandbox of builds (bubblewrap)", "bubblewrap")
        try:
            require(self.runner)
        except HarnessError as error:
            found = f"{error.message}: {error.detail}"
            return HostFinding("sandbox of builds (bubblewrap)", False, found, error.remedy)
        return good("sandbox of builds (bubblewrap)", str(place))

    def _headers(self) -> Iterator[HostFinding]:
        """Asks the compiler, which knows where this host keeps its headers."""
        if self.program("cc") is None:
            return
        asked = "".join(
            f"#if __has_include(<{header}>)\nfound {header}\n#endif\n" for header in HEADERS
        )
        said = self.runner.run(
            ["cc", "-E", "-P", "-x", "c", "-"], stdin=asked.encode(), check=False
        ).text.splitlines()
        for header, package in HEADERS.items():
            there = f"found {header}" in said
            yield good(header, package) if there else lacking(header, package)

    def _memory(self) -> HostFinding:
        available = self.memory()
        if available >= LEAST_MEMORY:
            return good("memory", f"{format_size(available)} available")
        return HostFinding(
            "memory", False, f"{format_size(available)} available",
            f"end other programs: a guest of two nodes takes {format_size(LEAST_MEMORY)}",
        )  # fmt: skip

    def _disk(self) -> HostFinding:
        cache = self.workspace.cache
        try:
            make_folder(cache)
        except HarnessError as error:
            return HostFinding("disk", False, error.message, error.remedy)
        free = shutil.disk_usage(cache).free
        found = f"{format_size(free)} free in {cache}"
        if free >= LEAST_DISK:
            return good("disk", found)
        return HostFinding(
            "disk", False, found,
            f"free some (harness gc removes old kernels): a tree takes {format_size(LEAST_DISK)}",
        )  # fmt: skip
