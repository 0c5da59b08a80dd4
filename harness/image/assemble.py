"""Assembly of a FreeBSD guest's boot media: init, root file system, volume or direct kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.host.resources import data_file, init_parts
from harness.host.sealedstore import DamageError, check, store
from harness.host.workspace import Workspace, host_refused, make_directory
from harness.image.key import content_key
from harness.image.media import DirectKernel, EfiDirectory
from harness.image.recipe import (
    ENTRY_FLAGS,
    INIT,
    INIT_FLAGS,
    LOADER_SCRIPT,
    ROM_FLAGS,
    ROOT_DIRECTORIES,
    Payload,
    kernel_environment,
    loader_rc,
    makefs_words,
    volume,
)
from harness.kernel.toolchain import newest_llvm

if TYPE_CHECKING:
    from harness.host.process import Runner

_SHARED = ("kmod", f"kmod/{GUEST.name}", "shell")
"""The directories below ``images`` with what other guests have, too."""

_IMAGE = "image"
"""The name of a cached file within its directory."""

_SHARED_HEADERS = (
    "kmod/crc32.h", "kmod/protocol.h", "kmod/string.h", "kmod/text.h",
    f"kmod/{GUEST.name}/secondport.h", "shell/shell.h",
)  # fmt: skip
_SHARED_UNITS = (
    "kmod/protocol.c",
    "kmod/string.c",
    "kmod/text.c",
    "shell/renew.c",
    "shell/shell.c",
)
"""The sources below ``images`` that init shares with the check module and the built-in guest."""


def assemble_freebsd(
    kernel: Path, loader: Path, payload: Payload, directory: Path, workspace: Workspace,
    runner: Runner,
) -> EfiDirectory:  # fmt: skip
    """Create, below ``directory``, the volume that boots ``kernel``. The memory disk is cached.

    Raises:
        UsageError: the loader does not accept a tunable.
        InfraError: clang, lld or makefs is missing or failed, or the disk is full.
    """
    script = loader_rc(
        payload.tunables, module=payload.module is not None, nonce=payload.nonce, root=payload.root
    )
    root = root_image(workspace, runner) if payload.root else None
    files = volume(kernel, loader, root, payload.module)
    top = directory / "volume"
    path = top
    try:
        for target, source in files.items():
            path = top / target
            path.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source, path)
        path = top / LOADER_SCRIPT
        path.write_text(script, encoding="ascii")
    except OSError as error:
        raise host_refused(path, error) from error
    return EfiDirectory(top)


def assemble_direct(
    kernel: Path, payload: Payload, directory: Path, workspace: Workspace, runner: Runner
) -> DirectKernel:
    """Create one file in ``directory``, which QEMU starts without firmware and loader.

    Raises:
        UsageError: a tunable is not valid, or the kernel cannot be started directly.
        InfraError: clang, lld or makefs is missing or failed, or the disk is full.
    """
    from harness.image.direct import direct_image

    environment = kernel_environment(
        payload.tunables, module=payload.module is not None, nonce=payload.nonce
    )
    entry = direct_entry(workspace, runner)
    root = root_image(workspace, runner) if payload.root else None
    image = directory / "kernel.elf"
    try:
        with image.open("wb") as file:
            file.writelines(direct_image(entry, kernel, root, environment, payload.module))
    except OSError as error:
        raise host_refused(image, error) from error
    return DirectKernel(image)


def direct_entry(workspace: Workspace, runner: Runner) -> Path:
    """Return the linked ``images/directboot``, from the cache or built.

    Raises:
        InfraError: the compiler is not installed, or failed.
    """
    return _linked(workspace, runner, "directboot", "entry.S", ENTRY_FLAGS)


def accelerator_probe(workspace: Workspace, runner: Runner) -> Path:
    """Return the ROM of ``images/accelprobe``, from the cache or built.

    Raises:
        InfraError: the compiler is not installed, or failed.
    """
    return _linked(workspace, runner, "accelprobe", "probe.S", ROM_FLAGS)


def _linked(
    workspace: Workspace, runner: Runner, name: str, program: str, flags: Sequence[str]
) -> Path:
    """Return a program in assembly, linked by the linker script in its directory."""
    bindir = newest_llvm()
    source = data_file("images", name, GUEST.name, program)
    script = source.with_name(f"{name}.ld")
    key = content_key((bindir / "clang", bindir / "ld.lld"), flags, (script, source))

    def make(directory: Path) -> Path:
        linked = directory / name
        runner.run([bindir / "clang", *flags, f"-Wl,-T,{script}", "-o", linked, source])
        return linked

    return _kept(workspace, f"{name}-{key[:20]}", make)


def root_image(workspace: Workspace, runner: Runner) -> Path:
    """Return the root file system with init, from the cache or built.

    Raises:
        InfraError: the compiler or makefs is not installed, or failed.
    """

    def make(directory: Path) -> Path:
        root, image = directory / "root", directory / "image"
        for name in ROOT_DIRECTORIES:
            make_directory(root / name)
        shutil.copyfile(init_program(workspace, runner), root / INIT)
        (root / INIT).chmod(0o755)
        runner.run(makefs_words(image, root))
        return image

    return _kept(workspace, f"mfsroot-{init_key()[:20]}", make)


def init_program(workspace: Workspace, runner: Runner) -> Path:
    """Return ``images/minimal`` with the subsystems' parts, a static program, cached or built.

    Raises:
        InfraError: the compiler is not installed, or failed.
    """
    return _kept(workspace, f"init-{init_key()[:20]}", lambda directory: _init(runner, directory))


def _kept(workspace: Workspace, name: str, make: Callable[[Path], Path]) -> Path:
    """Return a file of the cache; if it is missing or damaged, ``make`` builds it."""
    kept = workspace.cache / "images" / name
    try:
        check(kept, workspace.verified)
    except (FileNotFoundError, DamageError):
        with workspace.scratch("image") as directory:
            # Two processes may build it at once; the files are equal, and the later one stays.
            store(kept, {_IMAGE: make(directory)}, {})
    return kept / _IMAGE


def init_key() -> str:
    """Return the key (``content_key``) of the root file system.

    Raises:
        InfraError: the compiler is not installed.
    """
    bindir = newest_llvm()
    return content_key(
        (bindir / "clang", bindir / "ld.lld"),
        (*INIT_FLAGS, *map(str, makefs_words(Path("image"), Path("root")))),
        (*_sources("*.[ch]"), *_shared(*_SHARED_HEADERS, *_SHARED_UNITS)),
    )


def _init(runner: Runner, directory: Path) -> Path:
    # Started by its full path, clang finds lld in the same directory.
    clang, out = newest_llvm() / "clang", directory / "init"
    init = data_file("images", "minimal")
    directories = [f"-I{directory}" for directory in (init, init / GUEST.name, *_shared(*_SHARED))]
    runner.run(
        [clang, *INIT_FLAGS, *directories, "-o", out, *_sources("*.c"), *_shared(*_SHARED_UNITS)]
    )
    return out


def _sources(pattern: str) -> list[Path]:
    init = data_file("images", "minimal")
    directories = (init, init / GUEST.name, *init_parts())
    return sorted(path for directory in directories for path in directory.glob(pattern))


def _shared(*names: str) -> list[Path]:
    return [data_file("images", *name.split("/")) for name in names]


def _link_or_copy(source: Path, target: Path) -> None:
    """Create a hard link if possible, else a copy; the volume is never written."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
