"""The file that QEMU starts in place of firmware and loader."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.arch import GUEST
from harness.errors import UsageError
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.assemble import direct_entry
from harness.image.direct import direct_image, elf_file
from harness.image.elfplacement import Chunk, Placed, place_kernel, place_object
from harness.image.preload import SMAP_ENTRY, Metadata
from harness.kernel.toolchain import newest_llvm

KERNBASE = 0xFFFFFFFF80000000
MIB = 1 << 20

SOURCE = """
int zeros[5000];
int numbers[3] = {1, 2, 3};
static const char text[] = "text";
const char *pointer = text;
int mi_startup(void) { return (numbers[1] + zeros[7]); }
"""

CHUNKS = st.lists(
    st.builds(
        lambda address, data, more: Chunk(address, data, len(data) + more),
        st.integers(0, 2**40), st.binary(max_size=50), st.integers(0, 100),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


def compiled(directory: Path, *flags: str) -> Path:
    source, output = directory / "source.c", directory / "output"
    source.write_text(SOURCE)
    subprocess.run(
        [newest_llvm() / "clang", "--target=x86_64-unknown-freebsd13.2", "-ffreestanding", "-O1",
         "-fno-pic", "-mcmodel=kernel", "-nostdlib", *flags, "-o", output, source],
        check=True,
    )  # fmt: skip
    return output


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(
        tmp_path_factory.mktemp("kernel"), "-static", "-fuse-ld=lld", "-Wl,-e,mi_startup",
        f"-Wl,--image-base={KERNBASE + 2 * MIB:#x}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("module"), "-c", "-fdata-sections")


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cache")
    return direct_entry(Workspace(directory, directory, directory), HostRunner())


def memory(chunks: tuple[Chunk, ...], address: int, size: int) -> bytes:
    """What the guest sees there."""
    found = bytearray(size)
    for chunk in chunks:
        for offset, byte in enumerate(bytes(chunk.data).ljust(chunk.size, b"\0")):
            if address <= chunk.address + offset < address + size:
                found[chunk.address + offset - address] = byte
    return bytes(found)


def metadata(placed: Placed) -> dict[Metadata, bytes]:
    return dict(placed.file.metadata)


def address_of(path: Path, name: str) -> int:
    with path.open("rb") as stream:
        table: Any = ELFFile(stream).get_section_by_name(".symtab")
        return int(table.get_symbol_by_name(name)[0]["st_value"])


def test_a_kernel_lies_at_the_physical_address_that_it_is_linked_for(kernel: Path) -> None:
    placed = place_kernel(kernel)
    numbers = address_of(kernel, "numbers") - KERNBASE
    assert placed.file.address == 2 * MIB
    assert memory(placed.chunks, numbers, 12) == struct.pack("<3I", 1, 2, 3)
    assert placed.entry == address_of(kernel, "mi_startup")


def test_what_the_file_leaves_out_is_room_for_zeros(kernel: Path) -> None:
    placed = place_kernel(kernel)
    zeros = address_of(kernel, "zeros") - KERNBASE
    assert any(
        chunk.address + len(chunk.data) <= zeros and zeros + 20000 <= chunk.end
        for chunk in placed.chunks
    )


def test_the_debugger_finds_symbols_and_their_names_behind_the_kernel(kernel: Path) -> None:
    placed = place_kernel(kernel)
    told = metadata(placed)
    first, last = (int.from_bytes(told[one], "little") for one in (Metadata.SSYM, Metadata.ESYM))
    symbols = memory(placed.chunks, first, last - first)
    size = int.from_bytes(symbols[:8], "little")
    names = symbols[8 + -(-size // 8) * 8 + 8 :]
    assert size % 24 == 0, "struct Elf64_Sym has 24 bytes"
    assert b"\0mi_startup\0" in names
    assert last == placed.end


def test_each_section_of_a_module_lies_where_its_header_says(module: Path) -> None:
    placed = place_object(module, 8 * MIB)
    headers = metadata(placed)[Metadata.SHDR]
    with module.open("rb") as stream:
        sections = list(ELFFile(stream).iter_sections())
        places = [
            int.from_bytes(headers[64 * one + 16 :][:8], "little") for one in range(len(sections))
        ]
        for section, place in zip(sections, places, strict=True):
            if section["sh_flags"] & 2 and section["sh_size"]:
                assert place >= 8 * MIB, section.name
                assert place % max(1, section["sh_addralign"]) == 0, section.name
            if place and section["sh_type"] != "SHT_NOBITS":
                assert memory(placed.chunks, place, section["sh_size"]) == section.data()


def test_nothing_of_a_module_overlaps(module: Path) -> None:
    chunks = place_object(module, 8 * MIB).chunks
    assert all(one.end <= other.address for one, other in itertools.pairwise(chunks))


@pytest.mark.parametrize("wrong", ["a module", "text", "cut off"])
def test_what_is_no_kernel_is_refused(
    wrong: str, kernel: Path, module: Path, tmp_path: Path
) -> None:
    path = tmp_path / "kernel"
    whole = kernel.read_bytes()
    path.write_bytes(
        {"a module": module.read_bytes(), "text": b"no ELF", "cut off": whole[: len(whole) // 3]}[
            wrong
        ]
    )
    with pytest.raises(UsageError, match="cannot be started directly") as refused:
        place_kernel(path)
    assert "--boot loader" in (refused.value.remedy or "")


def test_a_kernel_is_no_module(kernel: Path) -> None:
    with pytest.raises(UsageError, match="not a kernel module"):
        place_object(kernel, 0)


@pytest.mark.parametrize("place", [place_kernel, lambda path: place_object(path, 8 * MIB)],
                         ids=["kernel", "module"])  # fmt: skip
@given(
    spots=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=9)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_placed_or_refused_and_never_more(
    place: Callable[[Path], Placed], spots: list[tuple[int, int]], kernel: Path, module: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    data = bytearray((kernel if place is place_kernel else module).read_bytes())
    start = int.from_bytes(data[40:48], "little")  # e_shoff: what is told of sections lies there
    tables = [*range(0x200), *range(start, len(data))]
    for spot, byte in spots:
        data[tables[spot % len(tables)]] = byte
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        assert all(chunk.end <= 1 << 30 for chunk in place(path).chunks)


@given(st.integers(0, 2**32 - 1), CHUNKS)
def test_qemu_reads_back_the_entry_and_every_chunk(start: int, chunks: list[Chunk]) -> None:
    elf = ELFFile(io.BytesIO(b"".join(elf_file(start, chunks))))
    note, *segments = elf.iter_segments()
    assert elf["e_machine"] == "EM_X86_64"
    assert note["p_type"] == "PT_NOTE"
    assert note.data() == struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", start)
    assert [(one["p_paddr"], one.data(), one["p_memsz"]) for one in segments] == [
        (chunk.address, chunk.data, chunk.size) for chunk in chunks
    ]


def test_the_handoff_leads_to_the_kernel_its_list_and_room_for_the_memory_map(
    entry: Path, kernel: Path, module: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.write_bytes(b"root" * 1000)
    parts = direct_image(entry, kernel, root, {"a": "1"}, module)
    image = ELFFile(io.BytesIO(b"".join(parts)))
    chunks = [
        Chunk(one["p_paddr"], one.data(), one["p_memsz"])
        for one in image.iter_segments()
        if one["p_type"] == "PT_LOAD"
    ]
    handoff = struct.unpack_from("<QIIII48s", chunks[0].data)
    target, modulep, kernend, smap, slots, words = handoff
    listed = next(chunk for chunk in chunks if chunk.address == modulep)
    assert target == address_of(kernel, "mi_startup")
    assert chunks[0].address == MIB
    assert words.rstrip(b"\0") == b"Start @ %#x ...\r\n" % target
    assert all(chunk.end <= kernend for chunk in chunks)
    assert kernend % GUEST.page == 0
    size = SMAP_ENTRY.size * slots
    at = smap - modulep
    assert listed.data[at - 8 : at] == struct.pack("<II", 0x8000 | Metadata.SMAP, size)
    assert listed.data[at : at + size] == bytes(size)
    assert any(
        chunk.data == root.read_bytes() and chunk.address % GUEST.page == 0 for chunk in chunks
    )
    assert any(
        bytes(chunk.data).startswith(b"kernelname=/boot/kernel/kernel\0a=1\0") for chunk in chunks
    )
