"""Direct start: one ELF file with everything that FreeBSD's loader would have loaded.

QEMU loads its segments into the guest's memory: the entry (``images/directboot``) at 1 MiB; from
2 MiB on the kernel with its symbols, the check module, the root file system, the kernel
environment, and the list of these files, in the format of ``bi_load64()`` (FreeBSD
``stand/*/*/bootinfo64.c``).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness.arch import GUEST
from harness.image.elfplacement import (
    Chunk,
    Placed,
    direct_start,
    place_kernel,
    place_object,
    place_root,
    round_up,
    whole,
)
from harness.image.preload import (
    SMAP_ENTRY,
    Metadata,
    PreloadedFile,
    boothowto,
    environment_block,
    module_list,
    number,
)
from harness.image.recipe import KERNEL
from harness.kernel.elftables import ElfTables, SegmentType

#: Maximum number of entries of the firmware's memory map, as in QEMU's option ROM.
_SMAP_SLOTS: Final = 128

#: The handoff to ``images/directboot``: entry, modulep, kernend, address and size of the map, and
#: the text to print before the kernel is entered.
_HANDOFF: Final = struct.Struct("<QIIII48s")

_EHDR: Final = struct.Struct("<16sHHIQQQIHHHHHH")  # elf(5)
_PHDR: Final = struct.Struct("<IIQQQQQQ")
_EXECUTABLE, _LOAD, _NOTE = 2, 1, 4
_PHYS32_ENTRY: Final = 18  # XEN_ELFNOTE_PHYS32_ENTRY, Xen's public/elfnote.h


def direct_image(
    entry: Path,
    kernel: Path,
    root_image: Path | None,
    environment: Mapping[str, str],
    module: Path | None = None,
) -> list[bytes | memoryview]:
    """Return the ELF file, in parts: copying a kernel's bytes takes longer than writing them.

    Args:
        entry: the linked ``images/directboot``.
        kernel: the kernel.
        root_image: the root file system; None if the guest has one on a disk.
        environment: the kernel environment.
        module: the check module.

    Raises:
        UsageError: kernel or module is not such a file.
        OSError: a file cannot be read.
    """
    loaded = place_kernel(kernel)
    others: list[Placed] = []
    end = loaded.end
    if module is not None:
        others.append(place_object(module, round_up(end, GUEST.page)))
        end = others[-1].end
    if root_image is not None:
        others.append(place_root(root_image, round_up(end, GUEST.page)))
        end = others[-1].end
    environment = {"kernelname": f"/{KERNEL}", **environment}
    block = whole(round_up(end, GUEST.page), environment_block(environment))
    listed, smap, kernend = _list(loaded, others, block, boothowto(environment))
    words = direct_start().last_words.format(loaded.entry).encode()
    handoff = _HANDOFF.pack(loaded.entry, listed.address, kernend, smap, _SMAP_SLOTS, words)
    start, code = _entry(entry, handoff)
    placed = [chunk for one in (loaded, *others) for chunk in one.chunks]
    return elf_file(start, [code, *placed, block, listed])


def _entry(path: Path, handoff: bytes) -> tuple[int, Chunk]:
    """Return the address of the entry, and its segment with the handoff filled in."""
    file = ElfTables(path.read_bytes())
    (segment,) = file.segments(SegmentType.LOAD)
    data = file.read(segment.offset, segment.filesz)
    data = handoff + data[len(handoff) :]
    return file.entry, Chunk(segment.paddr, data, segment.memsz)


def _list(
    kernel: Placed, others: Sequence[Placed], block: Chunk, howto: int
) -> tuple[Chunk, int, int]:
    """Return the list of all files, the address of its memory map, and ``kernend``."""
    address = round_up(block.end, GUEST.page)
    room = bytes(_SMAP_SLOTS * SMAP_ENTRY.size)

    def record(kernend: int) -> PreloadedFile:
        metadata = (
            *kernel.file.metadata,
            (Metadata.HOWTO, struct.pack("<I", howto)),
            (Metadata.ENVP, number(block.address)),
            (Metadata.KERNEND, number(kernend)),
            (Metadata.MODULEP, number(address)),
            (Metadata.SMAP, room),
        )
        return replace(kernel.file, metadata=metadata)

    files = [other.file for other in others]
    kernend = round_up(address + len(module_list([record(0), *files])), GUEST.page)
    itself = record(kernend)
    # The map is the last of the kernel's own metadata.
    smap = address + len(itself.record()) - len(room)
    return whole(address, module_list([itself, *files])), smap, kernend


def elf_file(start: int, chunks: Sequence[Chunk]) -> list[bytes | memoryview]:
    """Return, in parts, an ELF executable that QEMU's ``-kernel`` loads and enters at ``start``.

    QEMU (``load_elfboot()``) reads the entry from a note, as Xen does for PVH.
    """
    note = struct.pack("<III4sQ", 4, 8, _PHYS32_ENTRY, b"Xen\0", start)
    offset = _EHDR.size + _PHDR.size * (len(chunks) + 1)
    headers = [_PHDR.pack(_NOTE, 4, offset, 0, 0, len(note), len(note), 4)]
    parts: list[bytes | memoryview] = [note]
    offset += len(note)
    for chunk in chunks:
        at = chunk.address
        headers.append(_PHDR.pack(_LOAD, 7, offset, at, at, len(chunk.data), chunk.size, 1))
        parts.append(chunk.data)
        offset += len(chunk.data)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = _EHDR.pack(
        ident, _EXECUTABLE, GUEST.elf_machine, 1, start, _EHDR.size, 0, 0, _EHDR.size, _PHDR.size,
        len(headers), 0, 0, 0,
    )  # fmt: skip
    return [header, *headers, *parts]
