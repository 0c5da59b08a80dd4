"""Frames to source lines, on a small ELF file whose inlining is known."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness.console.events import Frame
from harness.console.symbolize import (
    Location,
    SymbolizedFrame,
    Symbolizer,
    SymbolTable,
    find_program,
)
from harness.errors import InfraError, UsageError
from harness.host.process import Finished, HostRunner

# The labels mark return addresses exactly; the line numbers are those of the assertions.
SOURCE_A = """\
void callee(void) {}
static inline __attribute__((always_inline)) void
inner(void)
{
	__asm__ volatile("call callee\\n.globl after_call\\nafter_call:" ::: "memory");
}
static inline __attribute__((always_inline)) void
middle(void)
{
	inner();
}
__attribute__((noinline)) void
outer(void)
{
	middle();
	__asm__ volatile("nop");
}
static __attribute__((noinline)) void
twin(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop; nop; nop");
}
static __attribute__((noinline)) void
small(void)
{
	__asm__ volatile("nop");
}
void use_a(void) { twin(); small(); }
"""

SOURCE_B = """\
void callee(void);
static __attribute__((noinline)) void
twin(void)
{
	__asm__ volatile("nop; nop; call callee\\n.globl twin_return\\ntwin_return:\\nnop; nop; nop");
}
static __attribute__((noinline)) void
small(void)
{
	__asm__ volatile(".fill 64, 1, 0x90\\n.globl small_inside\\nsmall_inside:\\nnop");
}
void use_b(void) { twin(); small(); }
"""


class CountingRunner(HostRunner):
    """Runs programs for real and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        deadline: float | None = None,
        check: bool = True,
    ) -> Finished:
        self.runs += 1
        return super().run(argv, cwd=cwd, env=env, stdin=stdin, deadline=deadline, check=check)


def clang() -> str:
    names = ["clang", *(f"clang-{version}" for version in range(30, 12, -1))]
    return next(found for name in names if (found := shutil.which(name)))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("kernel")
    runner = HostRunner()
    objects = []
    for name, text in (("a", SOURCE_A), ("b", SOURCE_B)):
        source = directory / "sys" / f"{name}.c"
        source.parent.mkdir(exist_ok=True)
        source.write_text(text)
        objects.append(directory / f"{name}.o")
        flags = ["--target=x86_64-unknown-none-elf", "-O1", "-g", "-ffreestanding", "-fno-pic"]
        flags += ["-fomit-frame-pointer"]
        runner.run([clang(), *flags, "-c", source, "-o", objects[-1]])
    linked = directory / "kernel.full"
    version = clang().removeprefix(clang().rstrip("0123456789-"))
    linker = f"ld.lld{version}" if shutil.which(f"ld.lld{version}") else "ld.lld"
    place = ["-static", "--image-base=0xffffffff80200000", "-e", "outer"]
    runner.run([linker, *place, *objects, "-o", linked])
    return linked


@pytest.fixture
def symbolizer(kernel: Path) -> Symbolizer:
    return Symbolizer(HostRunner(), kernel, find_program(), [str(kernel.parent)])


def address_of(kernel: Path, symbol: str) -> int:
    (address,) = SymbolTable(kernel).addresses(Frame(symbol, 0, entry="interrupt"))
    return address


def frame_at(kernel: Path, function: str, label: str, entry: str = "") -> Frame:
    offset = address_of(kernel, label) - address_of(kernel, function)
    return Frame(function, offset, entry=entry)


def test_return_address_is_looked_up_at_its_call_with_the_functions_inlined_there(
    kernel: Path, symbolizer: Symbolizer
) -> None:
    (frame,) = symbolizer.symbolize([frame_at(kernel, "outer", "after_call")])
    assert frame == SymbolizedFrame(
        function="outer",
        file="sys/a.c",
        line=15,
        inlined=(Location("inner", "sys/a.c", 5), Location("middle", "sys/a.c", 10)),
    )
    assert [place.function for place in frame.locations] == ["inner", "middle", "outer"]


@pytest.mark.parametrize("pc_known", [False, True])
def test_address_where_the_cpu_stood_is_looked_up_as_it_is(
    kernel: Path, symbolizer: Symbolizer, pc_known: bool
) -> None:
    frame = frame_at(kernel, "outer", "after_call", entry="trap 0xc")
    if pc_known:
        frame = Frame("outer", 0, pc=address_of(kernel, "after_call"), entry="trap 0xc")
    assert symbolizer.symbolize([frame]) == (SymbolizedFrame("outer", "sys/a.c", 16),)


def test_bare_pc_is_enough(kernel: Path, symbolizer: Symbolizer) -> None:
    (frame,) = symbolizer.symbolize([Frame("??", pc=address_of(kernel, "after_call"))])
    assert (frame.function, frame.line) == ("outer", 15)


def test_of_static_functions_with_one_name_the_one_long_enough_is_meant(
    kernel: Path, symbolizer: Symbolizer
) -> None:
    (frame,) = symbolizer.symbolize([Frame("small", 64, entry="interrupt")])
    assert (frame.file, frame.certain) == ("sys/b.c", True)


def test_of_static_functions_with_one_name_the_one_with_a_call_there_is_meant(
    symbolizer: Symbolizer,
) -> None:
    (frame,) = symbolizer.symbolize([Frame("twin", 7)])
    assert (frame.file, frame.line, frame.certain) == ("sys/b.c", 5, True)


def test_frame_that_could_be_in_either_of_two_functions_says_so(symbolizer: Symbolizer) -> None:
    (frame,) = symbolizer.symbolize([Frame("twin", 1, entry="interrupt")])
    assert not frame.certain


def test_function_of_a_module_keeps_its_name(symbolizer: Symbolizer) -> None:
    assert symbolizer.symbolize([Frame("hk_load", 0x10)]) == (SymbolizedFrame("hk_load", "", 0),)


def test_all_frames_are_looked_up_by_one_process(kernel: Path) -> None:
    runner = CountingRunner()
    frames = [Frame("twin", 7), frame_at(kernel, "outer", "after_call"), Frame("hk_load", 1)]
    told = Symbolizer(runner, kernel, find_program()).symbolize(frames * 20)
    assert (len(told), runner.runs) == (60, 1)


def test_no_process_is_started_for_no_frames(kernel: Path) -> None:
    runner = CountingRunner()
    assert Symbolizer(runner, kernel, find_program()).symbolize([]) == ()
    assert runner.runs == 0


def test_file_names_stay_whole_without_a_source_root(kernel: Path) -> None:
    (frame,) = Symbolizer(HostRunner(), kernel, find_program()).symbolize([Frame("twin", 7)])
    assert frame.file == str(kernel.parent / "sys" / "b.c")


def test_function_is_named_by_any_address_within(kernel: Path, symbolizer: Symbolizer) -> None:
    assert symbolizer.function_at(address_of(kernel, "after_call")) == "outer"
    assert symbolizer.function_at(address_of(kernel, "outer")) == "outer"
    assert symbolizer.function_at(0x10) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n", b"\x7fELF" + b"\xff" * 60],
    ids=["empty", "script", "torn"],
)
def test_file_that_is_not_elf_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "kernel"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="not an ELF file"):
        SymbolTable(file)


def test_kernel_without_symbols_is_a_usage_error(kernel: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "kernel"
    header = bytearray(kernel.read_bytes()[:64])
    header[0x28:0x30] = bytes(8)  # e_shoff
    header[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    stripped.write_bytes(header)
    with pytest.raises(UsageError, match="has no symbols"):
        SymbolTable(stripped)


def test_program_that_answers_no_json_is_a_host_error(kernel: Path) -> None:
    program = shutil.which("echo")
    assert program
    with pytest.raises(InfraError, match="no valid JSON"):
        Symbolizer(HostRunner(), kernel, program).symbolize([Frame("twin", 7)])
