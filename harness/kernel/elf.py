"""What a kernel's ELF file says of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from harness.errors import UsageError
from harness.kernel.spec import Sanitizer

if TYPE_CHECKING:
    from pathlib import Path

    from harness.kernel.artifact import KernelArtifact


def sanitizer_of(kernel: Path) -> Sanitizer:
    """Which sanitizer a kernel file was built with, from its symbols.

    Raises:
        UsageError: it is not an amd64 ELF executable with a symbol table.
    """
    try:
        with kernel.open("rb") as file:
            elf = ELFFile(file)
            names = elf.get_section_by_name(".strtab")
            if elf.get_machine_arch() != "x64" or names is None:
                raise _not_a_kernel(kernel, "it is no amd64 ELF file with symbols")
            # By the names alone: reading tens of thousands of symbols takes seconds.
            table = names.data()
    except OSError as error:
        raise _not_a_kernel(kernel, error.strerror or str(error)) from error
    except ELFError as error:
        raise _not_a_kernel(kernel, f"it is no ELF file ({error})") from error
    if b"\0mi_startup\0" not in table:
        raise _not_a_kernel(kernel, "it has no mi_startup")
    marks = {b"\0kasan_init\0": Sanitizer.KASAN, b"\0kmsan_init\0": Sanitizer.KMSAN}
    return next((found for mark, found in marks.items() if mark in table), Sanitizer.NONE)


def _not_a_kernel(kernel: Path, cause: str) -> UsageError:
    return UsageError(
        f"{kernel} is not a FreeBSD kernel: {cause}",
        remedy="name a kernel with --kernel, such as /boot/kernel/kernel of an amd64 system",
    )


#: Says which debug information belongs to a kernel, not what it does.
_BUILD_ID = ".note.gnu.build-id"


def content_digest(kernel: KernelArtifact) -> str:
    """A hash of all that is loaded: kernels equal in it do the same.

    The file itself also differs in its debug information, which holds line numbers.

    Raises:
        UsageError: the kernel is no ELF file.
    """
    digest = hashlib.sha256()
    try:
        with kernel.kernel.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section.name != _BUILD_ID:
                    digest.update(f"{section.name} {section['sh_addr']} ".encode())
                    digest.update(f"{section['sh_size']} ".encode())
                    digest.update(b"" if section["sh_type"] == "SHT_NOBITS" else section.data())
    except ELFError as error:
        raise _not_a_kernel(kernel.kernel, f"it is no ELF file ({error})") from error
    if kernel.loader is not None:
        digest.update(kernel.loader.read_bytes())
    return digest.hexdigest()[:40]
