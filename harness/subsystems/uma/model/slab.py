"""``struct uma_slab`` and ``struct uma_domain`` of FreeBSD's ``sys/vm/uma_int.h``."""

from __future__ import annotations


class Slab:
    """``struct uma_slab``.

    Attributes:
        number: number of the slab in the keg, from 0; replaces the address.
        us_domain: the domain whose lists have it; 0 in a hashed keg.
        memory: the domain of its memory.
        us_freecount: number of free items.
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


def list_remove(slabs: list[Slab], slab: Slab) -> None:
    """``LIST_REMOVE``; fast for the head, the most frequent case."""
    if slabs[-1] is slab:
        slabs.pop()
    else:
        slabs.remove(slab)
