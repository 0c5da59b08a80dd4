"""A guest's shared memory in its packed form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.host.sharedmemory import move_memory, pack_memory, share_memory, unpack_memory

PAGE = 4096
PAGES = 600
"""More than two of the chunks that are read at a time."""


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = share_memory("memory", PAGES * PAGE)
    yield descriptor
    os.close(descriptor)


def copied(memory: int, file: Path, size: int = PAGES * PAGE) -> bytes:
    """Return the content of new memory that is filled from the packed form."""
    pack_memory(memory, file)
    other = share_memory("copy", size)
    try:
        unpack_memory(file, other)
        return os.pread(other, size, 0)
    finally:
        os.close(other)


@given(st.dictionaries(st.integers(0, PAGES - 1), st.binary(min_size=1, max_size=PAGE)))
def test_memory_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, pages: dict[int, bytes]
) -> None:
    memory = share_memory("memory", PAGES * PAGE)
    try:
        for number, data in pages.items():
            os.pwrite(memory, data, number * PAGE)
        file = tmp_path_factory.mktemp("packed") / "memory"
        assert copied(memory, file) == os.pread(memory, PAGES * PAGE, 0)
        used = sum(any(data) for data in pages.values())
        assert file.stat().st_size <= used * (PAGE + 16) + 64
    finally:
        os.close(memory)


def test_moved_memory_is_the_other_processs_afterwards() -> None:
    size, name = PAGES * PAGE, "theirs"
    ours, theirs = ([share_memory(each, size) for _ in range(2)] for each in ("ours", name))
    try:
        for number, memory in enumerate(ours):
            os.pwrite(memory, b"node%d" % number, (number + 1) * PAGE)
        move_memory(ours, os.getpid(), name)
        for number, memory in enumerate(theirs):
            assert os.pread(memory, 5, (number + 1) * PAGE) == b"node%d" % number
            assert os.fstat(memory).st_blocks * 512 == PAGE
            os.pwrite(memory, b"new", 0)
            assert os.pread(ours[number], 3, 0) == b"new"
    finally:
        for memory in (*ours, *theirs):
            os.close(memory)


@pytest.mark.parametrize("sizes", [(), (PAGES * PAGE,), (PAGES * PAGE, PAGE)])
def test_memory_is_not_moved_where_the_other_process_has_another(sizes: tuple[int, ...]) -> None:
    ours = [share_memory("ours", PAGES * PAGE) for _ in range(2)]
    theirs = [share_memory("theirs", size) for size in sizes]
    try:
        with pytest.raises(OSError, match="has memory of"):
            move_memory(ours, os.getpid(), "theirs")
    finally:
        for memory in (*ours, *theirs):
            os.close(memory)


def test_memory_of_another_size_is_refused(memory: int, tmp_path: Path) -> None:
    for pages in (PAGES - 1, PAGES + 1):
        with pytest.raises(ValueError, match=f"not of memory of {pages * PAGE} bytes"):
            copied(memory, tmp_path / "memory", pages * PAGE)


def test_what_is_cut_off_at_any_byte_is_refused(memory: int, tmp_path: Path) -> None:
    os.pwrite(memory, b"two", PAGE)
    os.pwrite(memory, b"five", 4 * PAGE)
    whole = tmp_path / "memory"
    pack_memory(memory, whole)
    data = whole.read_bytes()
    for length in (*range(40), *range(40, len(data), 97), len(data) - 1):
        whole.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"truncated|not a guest's memory"):
            unpack_memory(whole, memory)
