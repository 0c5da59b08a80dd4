"""What a kernel is told by whatever loads it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.image.preload import (
    Metadata,
    PreloadedFile,
    boothowto,
    environment_block,
    module_list,
    number,
)

NAMES = st.text("abc/._", min_size=1, max_size=40)
ADDRESSES = st.integers(0, 2**63 - 1)
METADATA = st.lists(st.tuples(st.sampled_from(Metadata), st.binary(max_size=60)), max_size=6)
FILES = st.builds(
    PreloadedFile, NAMES, NAMES, ADDRESSES, ADDRESSES, st.builds(tuple, METADATA)
)  # fmt: skip


def read(data: bytes) -> Iterator[tuple[int, bytes]]:
    """As ``preload_search_info()`` of sys/kern/subr_module.c walks it."""
    place = 0
    while True:
        kind, size = struct.unpack_from("<II", data, place)
        yield kind, data[place + 8 : place + 8 + size]
        if (kind, size) == (0, 0):
            assert place + 8 == len(data), "something follows the end"
            return
        place += 8 + -(-size // 8) * 8


@given(st.lists(FILES, max_size=4))
def test_the_kernel_reads_back_what_it_is_told(files: list[PreloadedFile]) -> None:
    told = []
    for file in files:
        told += [
            (1, file.name.encode() + b"\0"),
            (2, file.type.encode() + b"\0"),
            (3, number(file.address)),
            (4, number(file.size)),
            *((0x8000 | kind, data) for kind, data in file.metadata),
        ]
    assert list(read(module_list(files))) == [*told, (0, b"")]


def test_the_environment_ends_with_an_empty_string() -> None:
    assert environment_block({"a": "1", "b.c": "x y"}) == b"a=1\0b.c=x y\0\0"


@pytest.mark.parametrize(
    ("environment", "howto"),
    [
        ({}, 0),
        ({"boot_serial": "YES"}, 0x1000),
        ({"boot_serial": "YES", "boot_verbose": "1"}, 0x1800),
        ({"boot_verbose": "NO"}, 0),
        ({"boot_single": "no"}, 0),
        ({"boot_ddb": ""}, 0x40),
        ({"kern.boot_single": "1"}, 0),
    ],
)
def test_boot_variables_become_bits_unless_they_say_no(
    environment: dict[str, str], howto: int
) -> None:
    assert boothowto(environment) == howto
