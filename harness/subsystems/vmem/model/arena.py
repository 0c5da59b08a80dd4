"""Arenas of ``vmem(9)``; requests never sleep (``M_NOWAIT``), and there are no quantum caches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.subsystems.vmem.model.tag import (
    VMEM_ADDR_MAX,
    VMEM_ADDR_MIN,
    VMEM_MAXORDER,
    KernelFault,
    Tag,
    TagType,
    crosses,
    fits,
    keeps,
    mpass,
    order_to_size,
    size_to_order,
)

_BT_MAXALLOC = 4
_BT_MAXFREE = _BT_MAXALLOC * 8


class Fit(StrEnum):
    """Strategies of a request."""

    BEST = "best"
    """``M_BESTFIT``: the first tag of the smallest sizes that fits"""
    FIRST = "first"
    """``M_FIRSTFIT``: looks at one tag of each list, then as ``BEST``"""
    NEXT = "next"
    """``M_NEXTFIT``: the first tag behind the last request's that fits"""


@dataclass(frozen=True, slots=True)
class Constraints:
    """What ``vmem_xalloc`` is asked for besides a size; the defaults are those of ``vmem_alloc``.

    Args:
        align: alignment of the address, a power of two; 0 for the quantum.
        phase: offset of the address from the alignment.
        nocross: a power of two, of which no multiple may lie inside; 0 for none.
        minaddr: the least address.
        maxaddr: the greatest last address.
    """

    align: int = 0
    phase: int = 0
    nocross: int = 0
    minaddr: int = VMEM_ADDR_MIN
    maxaddr: int = VMEM_ADDR_MAX


NO_CONSTRAINTS: Final = Constraints()


@dataclass(frozen=True, slots=True)
class Source:
    """Where an arena gets spans from (``vmem_set_import``).

    Args:
        importfn: returns the address of a span of that size; None if there is none.
        releasefn: takes a span back, by address and size; None if spans are kept.
        quantum: sizes of spans are multiples of it.
    """

    importfn: Callable[[int, Fit], int | None]
    releasefn: Callable[[int, int], None] | None
    quantum: int


class Arena:
    """``struct vmem``: an arena that ``vmem_create`` has made empty.

    Args:
        quantum: sizes and addresses are multiples of it.
        source: where it imports from; None if it does not.
        reclaimfn: called when the arena is exhausted; None for nothing.
    """

    def __init__(
        self,
        quantum: int,
        source: Source | None = None,
        reclaimfn: Callable[[], None] | None = None,
    ) -> None:
        self.vm_quantum_mask = quantum - 1
        self.vm_quantum_shift = quantum.bit_length() - 1
        self.vm_source = source
        self.vm_reclaimfn = reclaimfn
        self.vm_limit = 0
        self.vm_size = self.vm_inuse = 0
        self.vm_nfreetags = 0
        self.vm_cursor = Tag(TagType.CURSOR)
        self.vm_seglist = [self.vm_cursor]
        self.vm_freelist: list[list[Tag]] = [[] for _ in range(VMEM_MAXORDER)]
        self.vm_busy: dict[int, Tag] = {}

    # --- what callers call ----------------------------------------------------------------------

    def vmem_add(self, addr: int, size: int) -> None:
        """Add a span that stays."""
        self._bt_fill()
        self._vmem_add1(addr, size, TagType.SPAN_STATIC)

    def vmem_xalloc(self, size0: int, fit: Fit, want: Constraints = NO_CONSTRAINTS) -> int | None:
        """Return the address that a request gets; None for ``ENOMEM``.

        Raises:
            FatalCall: the kernel panics, or never returns; ``KernelFault`` if the call is valid.
        """
        size = self._roundup(size0)
        self._check(size, fit, want)
        align = want.align or self.vm_quantum_mask + 1
        if fit is Fit.NEXT:
            return self._vmem_xalloc_nextfit(size0, align, want)
        first = self._freehead_toalloc(size, fit)
        strat = fit
        self._bt_fill()
        while True:
            for tags in self.vm_freelist[first:]:
                for bt in tags:
                    if bt.bt_size >= size:
                        addr = self._fits(bt, size, align, want)
                        if addr is not None:
                            self._vmem_clip(bt, addr, size)
                            return addr
                    if strat is Fit.FIRST:
                        break
            if strat is Fit.FIRST:
                strat = Fit.BEST
                first = self._freehead_toalloc(size, strat)
            elif not self._vmem_try_fetch(size, align, fit):
                return None

    def vmem_xfree(self, addr: int) -> None:
        """Free what was allocated at an address."""
        bt = self.vm_busy.pop(addr)
        self.vm_inuse -= bt.bt_size
        bt.bt_type = TagType.FREE
        following = self._next(bt)
        if following is not None and following.bt_type is TagType.FREE:
            bt.bt_size += following.bt_size
            self._bt_remfree(following)
            self._bt_remseg(following)
        previous = self._prev(bt)
        if previous is not None and previous.bt_type is TagType.FREE:
            bt.bt_size += previous.bt_size
            bt.bt_start = previous.bt_start
            self._bt_remfree(previous)
            self._bt_remseg(previous)
        if not self._vmem_try_release(bt, remfree=False):
            self._bt_insfree(bt)
            self._bt_freetrim()

    @property
    def maxfree(self) -> int:
        """``vmem_size(VMEM_MAXFREE)``: a lower bound of the greatest free size, in bytes."""
        orders = (order for order in reversed(range(VMEM_MAXORDER)) if self.vm_freelist[order])
        return next((order_to_size(order) << self.vm_quantum_shift for order in orders), 0)

    # --- requests -------------------------------------------------------------------------------

    def _roundup(self, size: int) -> int:
        return (size + self.vm_quantum_mask) & ~self.vm_quantum_mask

    def _check(self, size: int, fit: Fit, want: Constraints) -> None:
        """The assertions at the beginning of ``vmem_xalloc``."""
        align, phase, nocross = want.align, want.phase, want.nocross
        mpass(size > 0, "size > 0")
        mpass((align | phase | nocross) & self.vm_quantum_mask == 0, "multiples of the quantum")
        mpass(align & (align - 1) == 0, "(align & (align - 1)) == 0")
        mpass(nocross & (nocross - 1) == 0, "(nocross & (nocross - 1)) == 0")
        mpass((align == 0 and phase == 0) or phase < align, "phase < align")
        mpass(nocross == 0 or nocross >= size, "nocross >= size")
        mpass(want.minaddr <= want.maxaddr, "minaddr <= maxaddr")
        mpass(not crosses(phase, phase + size - 1, nocross), "VMEM_CROSS_P(phase, ...)")
        anywhere = (want.minaddr, want.maxaddr) == (VMEM_ADDR_MIN, VMEM_ADDR_MAX)
        mpass(fit is not Fit.NEXT or anywhere, "minaddr == VMEM_ADDR_MIN")

    def _freehead_toalloc(self, size: int, fit: Fit) -> int:
        """``bt_freehead_toalloc``: the first list to search."""
        qsize = size >> self.vm_quantum_shift
        order = size_to_order(qsize)
        if fit is Fit.FIRST and order_to_size(order) != qsize:
            order += 1
        keeps(order < VMEM_MAXORDER, "idx < VMEM_MAXORDER")
        return order

    def _fits(self, bt: Tag, size: int, align: int, want: Constraints) -> int | None:
        return fits(bt, size, align, want.phase, want.nocross, want.minaddr, want.maxaddr)

    def _vmem_xalloc_nextfit(self, size: int, align: int, want: Constraints) -> int | None:
        """``vmem_xalloc_nextfit``, which gets the size as the caller has it, not rounded up."""
        self._bt_fill()
        while True:
            found = self._behind_cursor(size, align, want)
            merged = self._coalesce_at_cursor()
            if merged is not None:
                addr = None
                if found is None and merged.bt_size >= size:
                    addr = self._fits(merged, size, align, want)
                if addr is not None:
                    self._vmem_clip(merged, addr, size)
                    found = merged, addr
                elif self._vmem_try_release(merged, remfree=True):
                    raise KernelFault("bt_freetrim() has released the arena's lock")
            if found is not None:
                bt, addr = found
                self._advance_cursor(bt, addr + size)
                return addr
            if not self._vmem_try_fetch(size, align, Fit.NEXT):
                return None

    def _behind_cursor(self, size: int, align: int, want: Constraints) -> tuple[Tag, int] | None:
        """Allocate from the first tag from the cursor on that fits; return it and the address."""
        place = self.vm_seglist.index(self.vm_cursor)
        for bt in (*self.vm_seglist[place + 1 :], *self.vm_seglist[:place]):
            if bt.bt_type is TagType.FREE and bt.bt_size >= size:
                addr = self._fits(bt, size, align, want)
                if addr is not None:
                    self._vmem_clip(bt, addr, size)
                    return bt, addr
        if place == 0:
            raise KernelFault("the search steps over the cursor at the head, and never ends")
        return None

    def _coalesce_at_cursor(self) -> Tag | None:
        """Make one of the free tags on both sides of the cursor; it stays in its list."""
        following, previous = self._next(self.vm_cursor), self._prev(self.vm_cursor)
        if following is None or previous is None:
            return None
        both_free = following.bt_type is TagType.FREE and previous.bt_type is TagType.FREE
        if not both_free or previous.bt_start + previous.bt_size != following.bt_start:
            return None
        previous.bt_size += following.bt_size
        self._bt_remfree(following)
        self._bt_remseg(following)
        return previous

    def _advance_cursor(self, bt: Tag, end: int) -> None:
        """Move the cursor before the first tag from ``bt`` on that begins at ``end`` or later."""
        self.vm_seglist.remove(self.vm_cursor)
        place = self.vm_seglist.index(bt)
        behind = (p for p in range(place, len(self.vm_seglist))
                  if self.vm_seglist[p].bt_start >= end)  # fmt: skip
        self.vm_seglist.insert(next(behind, 0), self.vm_cursor)

    # --- spans ----------------------------------------------------------------------------------

    def _vmem_add1(self, addr: int, size: int, kind: TagType) -> None:
        keeps(size & self.vm_quantum_mask == 0, "(size & vm->vm_quantum_mask) == 0")
        last: Tag | None = None
        if self.vm_source is None or self.vm_source.releasefn is None:
            last = self.vm_seglist[-1]
            in_span = last.bt_type in (TagType.BUSY, TagType.FREE)
            if not in_span or last.bt_start + last.bt_size != addr:
                last = None
        if last is None or last.bt_type is TagType.BUSY:
            if last is None:
                self.vm_seglist.append(self._bt_alloc(kind, addr, size))
            free = self._bt_alloc(TagType.FREE, addr, size)
            self.vm_seglist.append(free)
            self._bt_insfree(free)
        else:
            self._bt_remfree(last)
            last.bt_size += size
            self._bt_insfree(last)
        self.vm_size += size

    def _vmem_import(self, size: int, align: int, fit: Fit) -> bool:
        """``vmem_import``: whether a span was imported."""
        source = self.vm_source
        if source is None:
            return False
        if align != self.vm_quantum_mask + 1:
            size += align * 2
        size = -(-size // source.quantum) * source.quantum
        if self.vm_limit != 0 and self.vm_limit < self.vm_size + size:
            return False
        self._bt_save()
        addr = source.importfn(size, fit)
        self._bt_restore()
        if addr is None:
            return False
        self._vmem_add1(addr, size, TagType.SPAN)
        return True

    def _vmem_try_fetch(self, size: int, align: int, fit: Fit) -> bool:
        """``vmem_try_fetch`` with ``M_NOWAIT``: whether to search again."""
        if self._vmem_import(size, align, fit):
            return True
        if self.vm_reclaimfn is None:
            return False
        avail = self.vm_size - self.vm_inuse
        self._bt_save()
        self.vm_reclaimfn()
        self._bt_restore()
        return self.vm_size - self.vm_inuse > avail

    def _vmem_try_release(self, bt: Tag, *, remfree: bool) -> bool:
        """``vmem_try_release``: whether the tag was a whole span, which went back."""
        if self.vm_source is None or self.vm_source.releasefn is None:
            return False
        previous = self._prev(bt)
        if previous is None or previous.bt_type is TagType.FREE:
            raise KernelFault("assertion prev != NULL && prev->bt_type != BT_TYPE_FREE")
        if previous.bt_type is not TagType.SPAN or previous.bt_size != bt.bt_size:
            return False
        if remfree:
            self._bt_remfree(bt)
        self._bt_remseg(bt)
        self._bt_remseg(previous)
        self.vm_size -= previous.bt_size
        self._bt_freetrim()
        self.vm_source.releasefn(previous.bt_start, previous.bt_size)
        return True

    # --- boundary tags --------------------------------------------------------------------------

    def _vmem_clip(self, bt: Tag, start: int, size: int) -> None:
        """Allocate a part of a free tag; the rest becomes tags of its own."""
        self._bt_remfree(bt)
        place = self.vm_seglist.index(bt)
        if bt.bt_start != start:
            before = self._bt_alloc(TagType.FREE, bt.bt_start, start - bt.bt_start)
            bt.bt_start = start
            bt.bt_size -= before.bt_size
            self._bt_insfree(before)
            self.vm_seglist.insert(place, before)
            place += 1
        if bt.bt_size != size and bt.bt_size - size > self.vm_quantum_mask:
            busy = self._bt_alloc(TagType.BUSY, bt.bt_start, size)
            bt.bt_start += size
            bt.bt_size -= size
            self._bt_insfree(bt)
            self.vm_seglist.insert(place, busy)
            bt = busy
        else:
            bt.bt_type = TagType.BUSY
        self.vm_busy[bt.bt_start] = bt
        self.vm_inuse += bt.bt_size

    def _bt_insfree(self, bt: Tag) -> None:
        keeps(bt.bt_size & self.vm_quantum_mask == 0, "(size & vm->vm_quantum_mask) == 0")
        bt.freelist = self.vm_freelist[size_to_order(bt.bt_size >> self.vm_quantum_shift)]
        bt.freelist.insert(0, bt)

    def _bt_remfree(self, bt: Tag) -> None:
        if bt.freelist is not None:
            bt.freelist.remove(bt)
        bt.freelist = None

    def _bt_remseg(self, bt: Tag) -> None:
        self.vm_seglist.remove(bt)
        self.vm_nfreetags += 1

    def _bt_alloc(self, kind: TagType, start: int, size: int) -> Tag:
        keeps(self.vm_nfreetags > 0, "bt != NULL")
        self.vm_nfreetags -= 1
        return Tag(kind, start, size)

    def _bt_fill(self) -> None:
        self.vm_nfreetags = max(self.vm_nfreetags, _BT_MAXALLOC)

    def _bt_freetrim(self) -> None:
        self.vm_nfreetags = min(self.vm_nfreetags, _BT_MAXFREE)

    def _bt_save(self) -> None:
        keeps(self.vm_nfreetags >= _BT_MAXALLOC, "bt_save: insufficient free tags")
        self.vm_nfreetags -= _BT_MAXALLOC

    def _bt_restore(self) -> None:
        self.vm_nfreetags += _BT_MAXALLOC

    def _next(self, bt: Tag) -> Tag | None:
        place = self.vm_seglist.index(bt) + 1
        return self.vm_seglist[place] if place < len(self.vm_seglist) else None

    def _prev(self, bt: Tag) -> Tag | None:
        place = self.vm_seglist.index(bt)
        return self.vm_seglist[place - 1] if place else None
