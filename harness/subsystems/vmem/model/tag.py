"""Boundary tags, and the arithmetic of addresses, which wraps as the C's does."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from harness.errors import UsageError

_LIMIT: Final = 1 << 64

VMEM_ADDR_MIN: Final = 0
VMEM_ADDR_MAX: Final = _LIMIT - 1

_OPTORDER: Final = 5
_OPTVALUE: Final = 1 << _OPTORDER
VMEM_MAXORDER: Final = _OPTVALUE - 1 + 64 - _OPTORDER


class FatalCall(UsageError):  # noqa: N818 - says what the call is
    """A call that the kernel panics at, or never returns from."""

    def __init__(self, words: str) -> None:
        super().__init__(
            f"the kernel does not survive this call: {words}", remedy="leave the operation out"
        )


class KernelFault(FatalCall):
    """A valid call of that kind: the fault is the kernel's; see ``vmem.cases``."""


def mpass(holds: bool, words: str) -> None:
    """``MPASS`` of what a caller passes.

    Raises:
        FatalCall: the condition does not hold.
    """
    if not holds:
        raise FatalCall(f"assertion {words}")


def keeps(holds: bool, words: str) -> None:
    """``MPASS`` of what the kernel's own code is to keep.

    Raises:
        KernelFault: the condition does not hold.
    """
    if not holds:
        raise KernelFault(f"assertion {words}")


class TagType(IntEnum):
    """Types of a boundary tag; the values are the kernel's (``BT_TYPE_*``)."""

    SPAN = 1
    SPAN_STATIC = 2
    FREE = 3
    BUSY = 4
    CURSOR = 5


@dataclass(slots=True, eq=False)
class Tag:
    """``struct vmem_btag``.

    Args:
        bt_type: its type.
        bt_start: its first address.
        bt_size: its size, in bytes.
        freelist: the list of free tags that it is in; None if it is in none.
    """

    bt_type: TagType
    bt_start: int = 0
    bt_size: int = 0
    freelist: list[Tag] | None = field(default=None, repr=False)

    @property
    def end(self) -> int:
        """``BT_END``: its last address."""
        return self.bt_start + self.bt_size - 1


def align_up(address: int, align: int) -> int:
    """``VMEM_ALIGNUP``: the next multiple of a power of two, which wraps to 0."""
    return -(-address & -align) % _LIMIT


def crosses(first: int, last: int, boundary: int) -> bool:
    """``VMEM_CROSS_P``: whether a multiple of ``boundary`` lies between; 0 for no boundary."""
    return (first ^ last) & -boundary != 0


def order_to_size(order: int) -> int:
    """``ORDER2SIZE``: the least size, in quanta, of the tags of a list."""
    return order + 1 if order < _OPTVALUE else 1 << (order - (_OPTVALUE - _OPTORDER - 1))


def size_to_order(size: int) -> int:
    """``SIZE2ORDER``: the list of tags of a size, in quanta."""
    return size - 1 if size <= _OPTVALUE else size.bit_length() + (_OPTVALUE - _OPTORDER - 2)


def fits(
    tag: Tag, size: int, align: int, phase: int, nocross: int, minaddr: int, maxaddr: int
) -> int | None:
    """``vmem_fit``: return the address in a free tag that a request gets; None if there is none.

    Raises:
        KernelFault: the address would lie outside of the tag.
    """
    start = max(tag.bt_start, minaddr)
    end = min(tag.end, maxaddr)
    if start > end:
        return None
    start = (align_up((start - phase) % _LIMIT, align) + phase) % _LIMIT
    if start < tag.bt_start:
        start += align
    if crosses(start, start + size - 1, nocross):
        start = (align_up((start - phase) % _LIMIT, nocross) + phase) % _LIMIT
    if start <= end and end - start >= size - 1:
        keeps(tag.bt_start <= start and minaddr <= start, "bt->bt_start <= start")
        return start
    return None
