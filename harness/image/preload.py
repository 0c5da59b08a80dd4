"""The metadata that FreeBSD's loader passes to a kernel: files and environment. Pure.

The format is that of ``md_copymodules()`` and ``md_copyenv()`` (FreeBSD ``stand/common/modinfo.c``,
``metadata.c``), the numbers those of ``sys/sys/linker.h`` and ``sys/*/include/metadata.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

#: Records of a file (``sys/sys/linker.h``).
_END, _NAME, _TYPE, _ADDRESS, _SIZE, _METADATA = 0, 1, 2, 3, 4, 0x8000

KERNEL_TYPE: Final = "elf kernel"
OBJECT_TYPE: Final = "elf obj module"
ROOT_TYPE: Final = "mfs_root"

SMAP_ENTRY: Final = struct.Struct("<QQI")
"""``struct bios_smap``: base, length, type."""


class Metadata(IntEnum):
    """Kinds of metadata, ``MODINFOMD_*``."""

    ELFHDR = 0x0002
    SSYM = 0x0003
    ESYM = 0x0004
    DYNAMIC = 0x0005
    ENVP = 0x0006
    HOWTO = 0x0007
    KERNEND = 0x0008
    SHDR = 0x0009
    CTORS_ADDR = 0x000A
    CTORS_SIZE = 0x000B
    SMAP = 0x1001
    MODULEP = 0x1006


@dataclass(frozen=True, slots=True)
class PreloadedFile:
    """A file in the guest's memory.

    Args:
        name: its path on the loader's volume.
        type: its type for the kernel.
        address: its physical address.
        size: its size in bytes.
        metadata: further metadata, in order.
    """

    name: str
    type: str
    address: int
    size: int
    metadata: tuple[tuple[Metadata, bytes], ...] = ()

    def record(self) -> bytes:
        """Return the file's records in the list."""
        return b"".join(
            (
                _item(_NAME, _string(self.name)),
                _item(_TYPE, _string(self.type)),
                _item(_ADDRESS, number(self.address)),
                _item(_SIZE, number(self.size)),
                *(_item(_METADATA | kind, data) for kind, data in self.metadata),
            )
        )


def module_list(files: Sequence[PreloadedFile]) -> bytes:
    """Return the list that ``modulep`` points to; the kernel is the first file."""
    return b"".join(file.record() for file in files) + _item(_END, b"")


def number(value: int) -> bytes:
    """Return the bytes of an address or a size."""
    return struct.pack("<Q", value)


def environment_block(environment: Mapping[str, str]) -> bytes:
    """Return the kernel environment: NUL-terminated ``name=value`` strings, and a final NUL."""
    pairs = (f"{name}={value}\0" for name, value in environment.items())
    return "".join(pairs).encode("ascii") + b"\0"


def _string(text: str) -> bytes:
    return text.encode("ascii") + b"\0"


def _item(kind: int, data: bytes) -> bytes:
    """Return kind and size, 4 bytes each, and the data, padded to a multiple of 8 bytes."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


#: ``boot_env_to_howto()`` (``stand/common/boot.c``): variables and their bits of ``sys/reboot.h``.
_HOWTO: Final[Mapping[str, int]] = {
    "boot_askname": 0x1,
    "boot_single": 0x2,
    "boot_dfltroot": 0x20,
    "boot_ddb": 0x40,
    "boot_verbose": 0x800,
    "boot_serial": 0x1000,
    "boot_cdrom": 0x2000,
    "boot_gdb": 0x8000,
    "boot_mute": 0x10000,
    "boot_pause": 0x100000,
    "boot_multicons": 0x20000000,
}


def boothowto(environment: Mapping[str, str]) -> int:
    """Return the kernel's ``boothowto``: a bit for each variable that is set, and not to ``no``."""
    return sum(bit for name, bit in _HOWTO.items() if environment.get(name, "no").lower() != "no")
