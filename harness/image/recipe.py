"""What stands on the volume that a FreeBSD guest boots from. Pure.

The loader is FreeBSD's ``loader_simp.efi``, whose script is plain commands
(``stand/common/interp_simple.c``), so that no Lua or Forth has to be built and read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
"""In the root file system; the kernel looks there first (``sys/kern/init_main.c``)."""

ROOT_FOLDERS: Final = (PurePosixPath("sbin"), PurePosixPath("dev"))
"""All else that the root file system holds: ``dev`` is where the kernel mounts devfs."""

INIT_FLAGS: Final = (
    # Marks the program as FreeBSD's, which is how the kernel knows what it runs.
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
    # Init reports which of these kern.conftxt lists.
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
"""Of ``images/directboot``."""

ROM_FLAGS: Final = (*ENTRY_FLAGS, "-Wl,--oformat=binary")
"""Of ``images/accelprobe``."""

DEFAULT_TUNABLES: Final[Mapping[str, str]] = {
    "vfs.root.mountfrom": "ufs:/dev/md0",
    # A panic ends the guest at once: no prompt that nobody answers, no 15 s of waiting.
    "debug.debugger_on_panic": "0",
    "kern.panic_reboot_wait_time": "0",
    # A guest has no entropy of its own, and needs none; the kernel need not warn of it.
    "kern.random.initial_seeding.disable_bypass_warnings": "1",
}
"""Kernel environment that a user's tunables may override."""

NONCE_TUNABLE: Final = "harness.nonce"
"""What tells a boot's report from all others; of each boot alone, so nobody may give it."""

_LINE_BYTES: Final = 255  # interp_include(): char input[256]
_NAME_BYTES: Final = 128  # KENV_MNAMELEN, sys/sys/kenv.h
_VALUE_BYTES: Final = 128  # KENV_MVALLEN

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.%-]*", re.ASCII)
# Printable, and neither a quote nor what means something inside quotes (interp_parse.c).
_VALUE = re.compile(r"[ !#%-&(-\[\]-~]*", re.ASCII)


def kernel_environment(
    tunables: Mapping[str, str], *, module: bool = False, nonce: str = ""
) -> Mapping[str, str]:
    """The environment of a guest's kernel (loader.conf(5)), whatever loads it.

    Args:
        tunables: the user's.
        module: the check module is loaded, too.
        nonce: of the boot, for the report of whatever init the guest has; empty for none.

    Raises:
        UsageError: a name or a value that the loader or the kernel would not take.
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


def loader_rc(tunables: Mapping[str, str], *, module: bool = False, nonce: str = "") -> str:
    """The loader's script for a guest with these tunables; see ``kernel_environment``.

    Commands that the guest's log has no use for begin with ``@``, which keeps the loader from
    echoing them. Those that may fail begin with ``-``: the script then goes on, to its last
    line, which resets a guest that did not boot instead of leaving it at a prompt.

    Raises:
        UsageError: see ``kernel_environment``.
    """
    environment = kernel_environment(tunables, module=module, nonce=nonce)
    return "".join(
        f"{line}\n"
        for line in (
            # A kernel with a sanitizer touches its shadow before it has page tables of its
            # own; the tables of a loader that does not copy have nothing there. It stands
            # first because it drops all that was loaded. Loaders before 13.1 always copy,
            # and do not know the command.
            "-copy_staging enable",
            *(_set(name, value) for name, value in environment.items()),
            f"-load /{KERNEL}",
            *([f"-load /{MODULE}"] if module else []),
            f"-load -t mfs_root /{ROOT_IMAGE}",
            "-boot",
            "reboot",
        )
    )


def kernel_command_line(tunables: Mapping[str, str], nonce: str = "") -> str:
    """The same for a kernel that QEMU starts: ``name=value``, with spaces in between.

    Raises:
        UsageError: a name or a value that cannot be told so.
    """
    for name, value in tunables.items():
        _check_tunable(name, value)
        if " " in value:
            raise UsageError(
                f"without a loader, the tunable {name} cannot have the value {value!r}",
                remedy="leave the spaces out: they stand between tunables",
            )
    environment = {**tunables, **_of_boot(nonce)}
    return " ".join(f"{name}={value}" for name, value in environment.items())


def volume(
    kernel: Path, loader: Path, root_image: Path, module: Path | None = None
) -> Mapping[PurePosixPath, Path]:
    """The files of the volume beside the script: place on it, and file of the host."""
    files = {LOADER: loader, KERNEL: kernel, ROOT_IMAGE: root_image}
    return files if module is None else {**files, MODULE: module}


def makefs_words(image: Path, root: Path) -> tuple[str, ...]:
    """The command that makes the root file system (NetBSD's makefs, as Debian has it).

    The kernel refuses that program's UFS2, and without a size it fails on a tree as small as
    ours (``ffs_alloccg: map corrupted``).
    """
    return ("makefs", "-t", "ffs", "-o", "version=1", "-s", "256k", str(image), str(root))


def _of_boot(nonce: str) -> Mapping[str, str]:
    return {NONCE_TUNABLE: nonce} if nonce else {}


def _set(name: str, value: str) -> str:
    return f'@set {name}="{value}"'


def _check_tunable(name: str, value: str) -> None:
    if not _NAME.fullmatch(name) or len(name) >= _NAME_BYTES:
        raise UsageError(
            f"no tunable can be called {name!r}",
            remedy="correct --tunable: letters, digits, dots, dashes and underscores, less than "
            f"{_NAME_BYTES} of them, as in vm.kmem_size",
        )
    if not _VALUE.fullmatch(value) or len(value) >= _VALUE_BYTES:
        raise UsageError(
            f"the loader cannot give the tunable {name} the value {value!r}",
            remedy=f"correct --tunable: less than {_VALUE_BYTES} printable ASCII characters, "
            "without quotes, backslash or dollar sign",
        )
    if name in {*GUEST.console_tunables, *GUEST.module_tunables, NONCE_TUNABLE}:
        raise UsageError(
            f"the tunable {name} is the harness's own",
            remedy=f"leave --tunable {name} out: the harness must know where the "
            "guest's serial ports are and which boot a report is of",
        )
    if len(_set(name, value)) > _LINE_BYTES:
        raise UsageError(
            f"the tunable {name} and its value are too long together",
            remedy=f"shorten --tunable {name}: the loader reads lines of at most {_LINE_BYTES} "
            "characters",
        )
