"""The files of the volume that a FreeBSD guest boots from, and the loader's script. Pure.

The loader is FreeBSD's ``loader_simp.efi``, whose scripts are plain commands
(``stand/common/interp_simple.c``), so that neither Lua nor Forth is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from harness.arch import GUEST
from harness.errors import UsageError
from harness.sanitizers import TABLE

LOADER: Final = PurePosixPath(GUEST.loader)
LOADER_SCRIPT: Final = PurePosixPath("boot/loader.rc")
KERNEL: Final = PurePosixPath("boot/kernel/kernel")
ROOT_IMAGE: Final = PurePosixPath("boot/mfsroot")
MODULE: Final = PurePosixPath("boot/kernel/harness_check.ko")

INIT: Final = PurePosixPath("sbin/init")
"""Path in the root file system, the first that the kernel tries (``sys/kern/init_main.c``)."""

ROOT_DIRECTORIES: Final = (PurePosixPath("sbin"), PurePosixPath("dev"))
"""The directories of the root file system; the kernel mounts devfs on ``dev``."""

INIT_FLAGS: Final = (
    # The ABI note marks the program as FreeBSD's.
    f"--target={GUEST.target}",
    "-std=c11",
    "-O1",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-pic",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-nostdlib",
    "-static",
    "-fuse-ld=lld",
    "-Wl,--build-id=none",
    "-Wall",
    "-Wextra",
    "-Wmissing-prototypes",
    "-Werror",
    # Init reports those of them that kern.conftxt contains.
    "-DSANITIZER_OPTIONS=" + ",".join(f'"{row.option}"' for row in TABLE),
)

ENTRY_FLAGS: Final = (
    f"--target={GUEST.target}",
    "-fno-pic",
    "-nostdlib",
    "-static",
    "-fuse-ld=lld",
    "-Wl,--build-id=none",
    f"-Wl,-z,max-page-size={GUEST.page}",
    "-Werror",
)
"""Compiler flags of ``images/directboot``."""

ROM_FLAGS: Final = (*ENTRY_FLAGS, "-Wl,--oformat=binary")
"""Compiler flags of ``images/accelprobe``."""

DEFAULT_TUNABLES: Final[Mapping[str, str]] = {
    "vfs.root.mountfrom": "ufs:/dev/md0",
    # A panic resets the guest at once, without a DDB prompt or a delay of 15 s.
    "debug.debugger_on_panic": "0",
    "kern.panic_reboot_wait_time": "0",
    # A guest has no source of entropy and needs none, so the kernel's warnings are disabled.
    "kern.random.initial_seeding.disable_bypass_warnings": "1",
}
"""Default tunables, which the user's override."""

NONCE_TUNABLE: Final = "harness.nonce"
"""The nonce that identifies a boot's report; the user cannot set it."""

_LINE_BYTES: Final = 255  # interp_include(): char input[256]
_NAME_BYTES: Final = 128  # KENV_MNAMELEN, sys/sys/kenv.h
_VALUE_BYTES: Final = 128  # KENV_MVALLEN

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.%-]*", re.ASCII)
# Printable characters except quotes and those that are special inside quotes (interp_parse.c).
_VALUE = re.compile(r"[ !#%-&(-\[\]-~]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Payload:
    """What is loaded with a kernel.

    Args:
        tunables: the kernel environment, without what the harness itself adds.
        nonce: the nonce of the boot's report; empty for none.
        module: a module; None for none.
        root: whether the memory disk with the harness's init is the root file system; else the
            guest has one on a disk.
    """

    tunables: Mapping[str, str]
    nonce: str = ""
    module: Path | None = None
    root: bool = True


def kernel_environment(
    tunables: Mapping[str, str], *, module: bool = False, nonce: str = ""
) -> Mapping[str, str]:
    """Return the kernel environment of a guest (loader.conf(5)), for any boot method.

    Args:
        tunables: the user's tunables.
        module: whether the check module is loaded, too.
        nonce: the nonce of the boot; empty for none.

    Raises:
        UsageError: the loader or the kernel does not accept a name or a value.
    """
    for name, value in tunables.items():
        _check_tunable(name, value)
    of_module = GUEST.module_tunables if module else {}
    return {
        **DEFAULT_TUNABLES,
        **tunables,
        **GUEST.console_tunables,
        **of_module,
        **_of_boot(nonce),
    }


def loader_rc(
    tunables: Mapping[str, str], *, module: bool = False, nonce: str = "", root: bool = True
) -> str:
    """Return the loader's script for a guest with the environment of ``kernel_environment``.

    ``root`` is whether the root file system is loaded, too.

    Commands that start with ``@`` are not echoed to the console. After a failed command that starts
    with ``-``, the script continues to its last line, which resets the guest, so that it does not
    stay at a prompt.

    Raises:
        UsageError: the loader or the kernel does not accept a name or a value.
    """
    environment = kernel_environment(tunables, module=module, nonce=nonce)
    return "".join(
        f"{line}\n"
        for line in (
            # A kernel with a sanitizer accesses its shadow before it has its own page tables;
            # those of a loader that does not copy do not map it. The command comes first,
            # because it unloads all files. Loaders before 13.1 always copy, and do not have
            # the command.
            "-copy_staging enable",
            *(_set(name, value) for name, value in environment.items()),
            f"-load /{KERNEL}",
            *([f"-load /{MODULE}"] if module else []),
            *([f"-load -t mfs_root /{ROOT_IMAGE}"] if root else []),
            "-boot",
            "reboot",
        )
    )


def kernel_command_line(tunables: Mapping[str, str], nonce: str = "") -> str:
    """Return the command line of a kernel that QEMU starts: ``name=value``, separated by spaces.

    Raises:
        UsageError: a name or a value cannot be passed in this way.
    """
    for name, value in tunables.items():
        _check_tunable(name, value)
        if " " in value:
            raise UsageError(
                f"the tunable {name} cannot have the value {value!r}: a kernel that QEMU starts "
                "accepts no spaces",
                remedy=f"correct --tunable {name}: use a value without spaces",
            )
    environment = {**tunables, **_of_boot(nonce)}
    return " ".join(f"{name}={value}" for name, value in environment.items())


def volume(
    kernel: Path, loader: Path, root_image: Path | None, module: Path | None = None
) -> Mapping[PurePosixPath, Path]:
    """Return the files of the volume, except the script: path on it, and path on the host."""
    files = {LOADER: loader, KERNEL: kernel, ROOT_IMAGE: root_image, MODULE: module}
    return {name: path for name, path in files.items() if path is not None}


def makefs_words(image: Path, root: Path) -> tuple[str, ...]:
    """Return the command that creates the root file system, with Debian's makefs from NetBSD.

    The kernel does not accept its UFS2, and without a size it fails for such a small tree
    (``ffs_alloccg: map corrupted``).
    """
    return ("makefs", "-t", "ffs", "-o", "version=1", "-s", "256k", str(image), str(root))


def _of_boot(nonce: str) -> Mapping[str, str]:
    return {NONCE_TUNABLE: nonce} if nonce else {}


def _set(name: str, value: str) -> str:
    return f'@set {name}="{value}"'


def _check_tunable(name: str, value: str) -> None:
    if not _NAME.fullmatch(name) or len(name) >= _NAME_BYTES:
        raise UsageError(
            f"{name!r} is not the name of a tunable",
            remedy="correct --tunable: letters, digits, dots, dashes and underscores, less than "
            f"{_NAME_BYTES} of them, as in vm.kmem_size",
        )
    if not _VALUE.fullmatch(value) or len(value) >= _VALUE_BYTES:
        raise UsageError(
            f"the loader cannot set the tunable {name} to {value!r}",
            remedy=f"correct --tunable: less than {_VALUE_BYTES} printable ASCII characters, "
            "without quotes, backslash or dollar sign",
        )
    if name in {*GUEST.console_tunables, *GUEST.module_tunables, NONCE_TUNABLE}:
        raise UsageError(
            f"the tunable {name} is reserved",
            remedy=f"leave --tunable {name} out: the harness sets the tunables of serial ports and "
            "the nonce itself",
        )
    if len(_set(name, value)) > _LINE_BYTES:
        raise UsageError(
            f"the tunable {name} and its value are too long",
            remedy=f"shorten --tunable {name}: the loader reads lines of at most {_LINE_BYTES} "
            "characters",
        )
