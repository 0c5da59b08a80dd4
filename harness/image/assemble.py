"""Makes what a FreeBSD guest boots from: our init, its root file system, the volume."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.host.resources import data_file
from harness.host.sealed import DamageError, check, store
from harness.host.workspace import Workspace, host_refused, make_folder
from harness.image.key import content_key
from harness.image.media import DirectKernel, EfiFolder
from harness.image.recipe import (
    ENTRY_FLAGS,
    INIT,
    INIT_FLAGS,
    LOADER_SCRIPT,
    ROM_FLAGS,
    ROOT_FOLDERS,
    kernel_environment,
    loader_rc,
    makefs_words,
    volume,
)
from harness.kernel.toolchain import newest_llvm

if TYPE_CHECKING:
    from harness.host.process import Runner

_IMAGE = "image"
"""The name of a cached file within its directory."""

_SHARED_HEADERS = ("crc32.h", "string.h", "text.h")
_SHARED_UNITS = ("string.c", "text.c")
"""What init has of the check module's sources."""


def assemble_freebsd(
    kernel: Path,
    loader: Path,
    tunables: Mapping[str, str],
    folder: Path,
    workspace: Workspace,
    runner: Runner,
    module: Path | None = None,
    nonce: str = "",
) -> EfiFolder:
    """Lay out, below ``folder``, the volume that boots ``kernel`` into our init.

    A ``module`` is loaded with it; ``nonce`` is as for ``kernel_environment``.

    The root file system is made once and kept in the workspace's cache.

    Raises:
        UsageError: a tunable that the loader would not take.
        InfraError: clang, lld or makefs is missing or failed, or the disk is full.
    """
    script = loader_rc(tunables, module=module is not None, nonce=nonce)
    files = volume(kernel, loader, root_image(workspace, runner), module)
    top = folder / "volume"
    place = top
    try:
        for target, source in files.items():
            place = top / target
            place.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source, place)
        place = top / LOADER_SCRIPT
        place.write_text(script, encoding="ascii")
    except OSError as error:
        raise host_refused(place, error) from error
    return EfiFolder(top)


def assemble_direct(
    kernel: Path,
    tunables: Mapping[str, str],
    folder: Path,
    workspace: Workspace,
    runner: Runner,
    module: Path | None = None,
    nonce: str = "",
) -> DirectKernel:
    """The same without firmware and loader: one file in ``folder``, which QEMU starts.

    Raises:
        UsageError: a tunable that no loader would take, or a kernel that cannot be started so.
        InfraError: as ``assemble_freebsd``.
    """
    from harness.image.direct import direct_image

    environment = kernel_environment(tunables, module=module is not None, nonce=nonce)
    entry, root = direct_entry(workspace, runner), root_image(workspace, runner)
    image = folder / "kernel.elf"
    try:
        image.write_bytes(direct_image(entry, kernel, root, environment, module))
    except OSError as error:
        raise host_refused(image, error) from error
    return DirectKernel(image)


def direct_entry(workspace: Workspace, runner: Runner) -> Path:
    """``images/directboot``, linked; from the cache if it is there.

    Raises:
        InfraError: no compiler on this host, or it failed.
    """
    return _linked(workspace, runner, "directboot", "entry.S", ENTRY_FLAGS)


def accelerator_probe(workspace: Workspace, runner: Runner) -> Path:
    """The ROM of ``images/accelprobe``; from the cache if it is there.

    Raises:
        InfraError: no compiler on this host, or it failed.
    """
    return _linked(workspace, runner, "accelprobe", "probe.S", ROM_FLAGS)


def _linked(
    workspace: Workspace, runner: Runner, name: str, program: str, flags: Sequence[str]
) -> Path:
    """A program in assembly, linked by the script beside it."""
    bindir = newest_llvm()
    source = data_file("images", name, GUEST.name, program)
    script = source.with_name(f"{name}.ld")
    key = content_key((bindir / "clang", bindir / "ld.lld"), flags, (script, source))

    def make(folder: Path) -> Path:
        linked = folder / name
        runner.run([bindir / "clang", *flags, f"-Wl,-T,{script}", "-o", linked, source])
        return linked

    return _kept(workspace, f"{name}-{key[:20]}", make)


def root_image(workspace: Workspace, runner: Runner) -> Path:
    """The root file system with our init, from the cache if it is there.

    Raises:
        InfraError: see ``build_init``; makefs is missing or failed.
    """

    def make(folder: Path) -> Path:
        root, image = folder / "root", folder / "image"
        for name in ROOT_FOLDERS:
            make_folder(root / name)
        build_init(runner, root / INIT)
        runner.run(makefs_words(image, root))
        return image

    return _kept(workspace, f"mfsroot-{init_key()[:20]}", make)


def _kept(workspace: Workspace, name: str, make: Callable[[Path], Path]) -> Path:
    """A file of the cache; if it is not there whole, ``make`` makes it in the given directory."""
    kept = workspace.cache / "images" / name
    try:
        check(kept, workspace.verified)
    except (FileNotFoundError, DamageError):
        with workspace.scratch("image") as folder:
            # Made twice at once, both are the same: the later one replaces the other.
            store(kept, {_IMAGE: make(folder)}, {})
    return kept / _IMAGE


def init_key() -> str:
    """What the bytes of the root file system depend on; see ``content_key``.

    Raises:
        InfraError: no compiler on this host.
    """
    bindir = newest_llvm()
    return content_key(
        (bindir / "clang", bindir / "ld.lld"),
        (*INIT_FLAGS, *map(str, makefs_words(Path("image"), Path("root")))),
        (*_sources("*.[ch]"), *_shared(*_SHARED_HEADERS, *_SHARED_UNITS)),
    )


def build_init(runner: Runner, out: Path) -> Path:
    """Compile ``images/minimal`` to ``out``, a static FreeBSD program.

    Raises:
        InfraError: no compiler on this host, or it failed.
    """
    # Called by its own path, clang finds the lld beside it.
    clang = newest_llvm() / "clang"
    init = data_file("images", "minimal")
    folders = [f"-I{folder}" for folder in (init, init / GUEST.name)]
    runner.run(
        [clang, *INIT_FLAGS, *folders, "-o", out, *_sources("*.c"), *_shared(*_SHARED_UNITS)]
    )
    return out


def _sources(pattern: str) -> list[Path]:
    init = data_file("images", "minimal")
    return sorted(path for folder in (init, init / GUEST.name) for path in folder.glob(pattern))


def _shared(*names: str) -> list[Path]:
    return [data_file("images", "kmod", name) for name in names]


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link where it can be one: nobody writes to the volume."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
