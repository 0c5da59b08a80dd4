"""Slabs and a domain's lists of them: ``struct uma_slab`` and ``struct uma_domain``.

They are FreeBSD's, of ``sys/vm/uma_int.h``; what moves slabs between lists is of
``sys/vm/uma_core.c``, by the name of the function that does it there.
"""

from __future__ import annotations


class Slab:
    """``struct uma_slab``.

    Attributes:
        number: counts the slabs of the keg from 0; stands for the address.
        us_domain: in whose lists it is; 0 in a hashed keg.
        memory: the domain that its memory was asked from.
        us_freecount: free items.
        us_free: mask of the free items.
    """

    __slots__ = ("memory", "number", "us_domain", "us_free", "us_freecount")

    def __init__(self, number: int, us_domain: int, memory: int, ipers: int) -> None:
        self.number = number
        self.us_domain = us_domain
        self.memory = memory
        self.us_freecount = ipers
        self.us_free = (1 << ipers) - 1


class Domain:
    """``struct uma_domain``. The head of each list is its last element."""

    __slots__ = (
        "ud_free_items", "ud_free_slab", "ud_free_slabs", "ud_full_slab", "ud_pages",
        "ud_part_slab",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ud_part_slab: list[Slab] = []
        self.ud_free_slab: list[Slab] = []
        self.ud_full_slab: list[Slab] = []
        self.ud_pages = 0
        self.ud_free_items = 0
        self.ud_free_slabs = 0

    def add_slab(self, slab: Slab) -> None:
        """A fresh slab, at the head of the partial ones (``keg_alloc_slab``)."""
        self.ud_part_slab.append(slab)
        self.ud_pages += 1
        self.ud_free_items += slab.us_freecount

    def free_to_partial(self) -> Slab:
        """The first free slab, now the first of the partial ones (``keg_first_slab``)."""
        slab = self.ud_free_slab.pop()
        self.ud_free_slabs -= 1
        self.ud_part_slab.append(slab)
        return slab

    def partial_to_free(self, slab: Slab) -> None:
        """A slab of the partial ones that has all items (``uma_prealloc``)."""
        _remove(self.ud_part_slab, slab)
        self.ud_free_slab.append(slab)
        self.ud_free_slabs += 1

    def take_item(self, slab: Slab) -> int:
        """The index of the lowest free item of a partial slab (``slab_alloc_item``)."""
        free = slab.us_free
        bit = free & -free
        slab.us_free = free ^ bit
        slab.us_freecount -= 1
        self.ud_free_items -= 1
        if slab.us_freecount == 0:
            _remove(self.ud_part_slab, slab)
            self.ud_full_slab.append(slab)
        return bit.bit_length() - 1

    def put_item(self, slab: Slab, index: int, ipers: int) -> None:
        """An item is back in its slab, that has so many (``slab_free_item``)."""
        was_full = slab.us_freecount == 0
        if slab.us_freecount + 1 == ipers:
            _remove(self.ud_full_slab if was_full else self.ud_part_slab, slab)
            self.ud_free_slab.append(slab)
            self.ud_free_slabs += 1
        elif was_full:
            _remove(self.ud_full_slab, slab)
            self.ud_part_slab.append(slab)
        slab.us_free |= 1 << index
        slab.us_freecount += 1
        self.ud_free_items += 1

    def drain(self, reserve: int, ipers: int) -> list[Slab]:
        """Take out the free slabs but those that hold the reserve (``keg_drain_domain``)."""
        lacking = reserve - (self.ud_free_items - self.ud_free_slabs * ipers)
        keep = min(self.ud_free_slabs, -(-lacking // ipers)) if lacking > 0 else 0
        going = self.ud_free_slabs - keep
        # The smaller part is moved from the head of the list; the rest is the other part.
        at = keep if going > keep else going
        head = self.ud_free_slab[len(self.ud_free_slab) - at :]
        tail = self.ud_free_slab[: len(self.ud_free_slab) - at]
        gone, self.ud_free_slab = (tail, head[::-1]) if going > keep else (head, tail)
        self.ud_free_items -= going * ipers
        self.ud_free_slabs -= going
        self.ud_pages -= going
        return gone


def _remove(slabs: list[Slab], slab: Slab) -> None:
    if slabs[-1] is slab:
        slabs.pop()
    else:
        slabs.remove(slab)
