"""Disk images as FreeBSD publishes them, in miniature or with a real root file system."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.imported.partitions import SECTOR, UFS_TYPE

EFI_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
SWAP_TYPE = uuid.UUID("516e7cb5-6ecf-11d6-8ff8-00022d09712b")

ENTRIES, ENTRY_BYTES = 128, 128
TABLE_SECTORS = ENTRIES * ENTRY_BYTES // SECTOR
FIRST_USABLE = 2 + TABLE_SECTORS

PROGRAM = b"\x7fELF\x02\x01\x01\x09" + bytes(8) + struct.pack("<HH", 2, 62) + bytes(44)
"""The beginning of an amd64 program."""


@dataclass(frozen=True)
class Part:
    """A partition: its type, its label, and the file with its content or its size in bytes."""

    kind: uuid.UUID
    label: str
    content: Path | int

    @property
    def sectors(self) -> int:
        size = self.content if isinstance(self.content, int) else self.content.stat().st_size
        return -(-size // SECTOR)


def published(root: Path) -> list[Part]:
    """Partitions like those of FreeBSD's own images, with a root file system."""
    return [
        Part(EFI_TYPE, "efiesp", 64 << 10), Part(SWAP_TYPE, "swapfs", 1 << 20),
        Part(UFS_TYPE, "rootfs", root),
    ]  # fmt: skip


def write_gpt_disk(disk: Path, parts: Sequence[Part]) -> Path:
    """Write a disk with a GUID partition table and its backup."""
    starts, at = [], FIRST_USABLE
    for part in parts:
        starts.append(at)
        at += part.sectors
    total = at + TABLE_SECTORS + 1
    rows = [
        struct.pack(
            "<16s16sQQQ72s",
            part.kind.bytes_le,
            uuid.uuid4().bytes_le,
            start,
            start + part.sectors - 1,
            0,
            part.label.encode("utf-16-le"),
        )
        for part, start in zip(parts, starts, strict=True)
    ]
    table = b"".join(rows).ljust(ENTRIES * ENTRY_BYTES, b"\0")
    name = uuid.uuid4().bytes_le
    with disk.open("wb") as file:
        file.truncate(total * SECTOR)
        for here, other, entries in ((1, total - 1, 2), (total - 1, 1, total - 1 - TABLE_SECTORS)):
            file.seek(here * SECTOR)
            file.write(gpt_header(here, other, entries, total, name, table))
            file.seek(entries * SECTOR)
            file.write(table)
        for part, start in zip(parts, starts, strict=True):
            if isinstance(part.content, Path):
                file.seek(start * SECTOR)
                with part.content.open("rb") as content:
                    shutil.copyfileobj(content, file)
    return disk


def gpt_header(here: int, other: int, entries: int, total: int, name: bytes, table: bytes) -> bytes:
    usable = total - TABLE_SECTORS - 2
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, here, other, FIRST_USABLE, usable,
        name, entries, ENTRIES, ENTRY_BYTES, zlib.crc32(table),
    )  # fmt: skip
    return header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]


def write_small_root(
    directory: Path, image: Path, release: str = "15.1-RELEASE", program: bytes = PROGRAM,
    version: int = 2,
) -> Path:  # fmt: skip
    """Make a file system with little more than what tells its FreeBSD."""
    (directory / "bin").mkdir(parents=True)
    script = f'#!/bin/sh\n{"#" * 3000}\nUSERLAND_VERSION="{release}"\n'
    (directory / "bin/freebsd-version").write_text(script)
    (directory / "bin/sh").write_bytes(program)
    (directory / "data").write_bytes(random.Random(1).randbytes(1 << 20))
    subprocess.run(
        ["makefs", "-t", "ffs", "-o", f"version={version}", "-s", "4m", image, directory],
        check=True, capture_output=True,
    )  # fmt: skip
    return image
