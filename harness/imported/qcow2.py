"""Headers of qcow2 files (``docs/interop/qcow2.txt`` in QEMU's sources). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError

MAGIC: Final = b"QFI\xfb"

HEADER_BYTES: Final = 104
"""How much of a file ``parse_header`` reads."""

_HEADER = struct.Struct(">4sIQIIQI")
"""Magic, version, backing file's offset and size, cluster bits, size, encryption."""

_INCOMPATIBLE = struct.Struct(">Q")
_INCOMPATIBLE_AT: Final = 72

_CLUSTER_BITS: Final = (9, 21)
"""The limits of QEMU."""

_CORRUPT: Final = 1 << 1
_EXTERNAL: Final = 1 << 2
_KNOWN: Final = 0b11111
"""Incompatible features with a meaning: dirty, corrupt, external data, compression, extended L2."""


@dataclass(frozen=True, slots=True)
class Qcow2Header:
    """A header that was accepted.

    Args:
        size: size of the disk in bytes.
    """

    size: int


def parse_header(data: bytes, name: str) -> Qcow2Header:
    """Return the header of a file that needs no other file.

    Args:
        data: the file's first ``HEADER_BYTES``.
        name: the image's name in errors.

    Raises:
        UsageError: the header is damaged, or names another file of the host, or QEMU would refuse
            the image.
    """
    if len(data) < HEADER_BYTES:
        raise UsageError(f"the image {name} is truncated", remedy="fetch it again")
    _, version, backing, _, cluster_bits, size, encryption = _HEADER.unpack_from(data)
    features = _INCOMPATIBLE.unpack_from(data, _INCOMPATIBLE_AT)[0] if version > 2 else 0
    wrong = ""
    if version not in (2, 3):
        wrong = f"has version {version} of qcow2"
    elif backing:
        wrong = "is an overlay of another file (a backing file)"
    elif not _CLUSTER_BITS[0] <= cluster_bits <= _CLUSTER_BITS[1]:
        wrong = f"has clusters of 2^{cluster_bits} bytes"
    elif features & _EXTERNAL:
        wrong = "keeps its data in another file"
    elif encryption:
        wrong = "is encrypted"
    elif features & _CORRUPT:
        wrong = "is marked as corrupt"
    elif features & ~_KNOWN:
        wrong = f"has unknown features ({features & ~_KNOWN:#x})"
    if wrong:
        raise UsageError(
            f"the image {name} {wrong}",
            remedy="convert it where it was made: qemu-img convert -O qcow2 IMAGE NEW",
        )
    return Qcow2Header(size)
