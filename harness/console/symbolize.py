"""Frames of a backtrace to source files and lines, from the kernel's debug symbols.

A frame's address is that of its function's symbol plus the offset that the console gives. A return
address stands after its call, which may be the last instruction of its line: one less is looked up
(as kgdb and llvm-symbolizer's own callers do). FreeBSD loads its kernels where they are linked.
"""

from __future__ import annotations

import bisect
import json
import posixpath
import shutil
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.console.events import UNKNOWN_FUNCTION, Frame
from harness.errors import InfraError, UsageError

if TYPE_CHECKING:
    from harness.host.process import Runner

PROGRAM = "llvm-symbolizer"
NEWEST_LLVM, OLDEST_LLVM = 30, 13
"""The versions looked for; 13 is the first that answers in JSON."""

SECONDS = 300.0
"""The longest that the symbolizer may take: it reads some hundred MB of debug symbols."""

_EXECUTED = 0x4  # SHF_EXECINSTR
_FUNCTION_TYPES = (0, 2)  # STT_NOTYPE, which is assembly's, and STT_FUNC
_OVERLAPPING = 8  # how many symbols may begin between a function's start and an address in it
_CALL_NEAR = 0xE8
_CALL_INDIRECT = 0xFF
_CALL_INDIRECT_REG = 2
_LONGEST_CALL = 7


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the source; ``line`` is 0 where it is not known."""

    function: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class SymbolizedFrame:
    """A frame with its place in the source.

    ``function`` is the one the console names and ``file`` and ``line`` the place in it. Where the
    compiler put other functions there, ``inlined`` has their places, innermost first.
    ``certain`` is false if several functions of that name could be meant.
    """

    function: str
    file: str
    line: int
    inlined: tuple[Location, ...] = ()
    certain: bool = True

    @property
    def locations(self) -> tuple[Location, ...]:
        """All places, innermost first: what ``llvm-symbolizer --inlines`` prints."""
        return (*self.inlined, Location(self.function, self.file, self.line))


@dataclass(frozen=True, slots=True)
class _Function:
    address: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class _Code:
    address: int
    size: int
    file_offset: int


class SymbolTable:
    """The functions of a kernel's ELF file.

    Raises:
        UsageError: the file is not ELF, or has no symbol table.
    """

    def __init__(self, kernel: Path) -> None:
        self._kernel = kernel
        self._code: list[_Code] = []
        functions: set[_Function] = set()
        try:
            with kernel.open("rb") as stream:
                for section in ELFFile(stream).iter_sections():
                    if isinstance(section, SymbolTableSection):
                        strings = section.stringtable.data()
                        functions |= _functions(section.data(), strings)
                    elif section["sh_type"] == "SHT_PROGBITS" and section["sh_flags"] & _EXECUTED:
                        place = section["sh_addr"], section["sh_size"], section["sh_offset"]
                        self._code.append(_Code(*place))
        except (ELFError, struct.error) as error:
            raise UsageError(
                f"{kernel} is not an ELF file: {error}",
                remedy="name kernel.full or kernel.debug of the build with --kernel",
            ) from error
        if not functions:
            raise UsageError(
                f"{kernel} has no symbols",
                remedy="name kernel.full or kernel.debug of the build with --kernel",
            )
        self._functions = sorted(functions, key=lambda function: function.address)
        self._addresses = [function.address for function in self._functions]

    @cached_property
    def _by_name(self) -> dict[str, list[_Function]]:
        by_name: dict[str, list[_Function]] = defaultdict(list)
        for function in self._functions:
            by_name[function.name].append(function)
        return by_name

    def function_at(self, address: int) -> str | None:
        """The function that holds ``address``; one of assembly's may have no size."""
        last = bisect.bisect_right(self._addresses, address)
        nearest = self._functions[max(0, last - _OVERLAPPING) : last][::-1]
        holding = [f for f in nearest if address < f.address + f.size]
        holding = holding or [f for f in nearest[:1] if f.size == 0]
        return holding[0].name if holding else None

    def addresses(self, frame: Frame) -> tuple[int, ...]:
        """The addresses that ``frame`` may mean; more than one if static functions share a name."""
        if frame.pc is not None:
            return (frame.pc,)
        named = self._by_name.get(frame.function, [])
        reach = frame.symbol_offset - frame.is_return_address
        meant = [f for f in named if reach < f.size] or [f for f in named if f.size == 0]
        found = [function.address + frame.symbol_offset for function in meant]
        if len(found) > 1 and frame.is_return_address:
            found = [address for address in found if self._follows_call(address)] or found
        return tuple(found)

    def _follows_call(self, address: int) -> bool:
        """Whether a call instruction may end right before ``address`` (Intel SDM, CALL)."""
        code = self._bytes_before(address)
        if len(code) < _LONGEST_CALL:
            return False
        return code[-5] == _CALL_NEAR or any(
            code[-length] == _CALL_INDIRECT and (code[1 - length] >> 3) & 7 == _CALL_INDIRECT_REG
            for length in range(2, _LONGEST_CALL + 1)
        )

    def _bytes_before(self, address: int) -> bytes:
        for code in self._code:
            if code.address + _LONGEST_CALL <= address <= code.address + code.size:
                with self._kernel.open("rb") as stream:
                    stream.seek(code.file_offset + address - code.address - _LONGEST_CALL)
                    return stream.read(_LONGEST_CALL)
        return b""


def _functions(table: bytes, strings: bytes) -> set[_Function]:
    """The defined functions of an ELF64 symbol table (System V ABI, Elf64_Sym)."""
    functions = set()
    for name, info, _, section, address, size in struct.iter_unpack("<IBBHQQ", table):
        if info & 0xF in _FUNCTION_TYPES and section != 0 and name != 0:
            text = strings[name : strings.find(b"\0", name)].decode("utf-8", "replace")
            functions.add(_Function(address, size, text))
    return functions


class Symbolizer:
    """Symbolizes frames of one kernel.

    Args:
        runner: starts llvm-symbolizer, once for all the frames of a call.
        kernel: the ELF file with symbols and debug information.
        program: llvm-symbolizer; see ``find_program``.
        source_roots: the folders that file names become relative to, as the build knew them.
    """

    def __init__(
        self, runner: Runner, kernel: Path, program: str, source_roots: Sequence[str] = ()
    ) -> None:
        self._runner = runner
        self._kernel = kernel
        self._program = program
        self._source_roots = tuple(f"{root.rstrip('/')}/" for root in source_roots)

    @cached_property
    def symbols(self) -> SymbolTable:
        """The kernel's functions; read for the first frame, which most boots do not have."""
        return SymbolTable(self._kernel)

    def symbolize(self, frames: Sequence[Frame]) -> tuple[SymbolizedFrame, ...]:
        """One symbolized frame for each of ``frames``; those of modules keep their name only.

        Raises:
            InfraError: llvm-symbolizer is missing or fails.
        """
        meant = [self.symbols.addresses(frame) for frame in frames]
        wanted = [
            found[0] - frame.is_return_address if found else None
            for frame, found in zip(frames, meant, strict=True)
        ]
        places = self._look_up({address for address in wanted if address is not None})
        return tuple(
            self._symbolized(frame, places.get(address, ()) if address is not None else (), found)
            for frame, address, found in zip(frames, wanted, meant, strict=True)
        )

    def function_at(self, address: int) -> str | None:
        """The function that holds ``address``; for ``harness.verdict.judge``."""
        return self.symbols.function_at(address)

    def _symbolized(
        self, frame: Frame, places: tuple[Location, ...], found: tuple[int, ...]
    ) -> SymbolizedFrame:
        if not places:
            return SymbolizedFrame(frame.function, "", 0)
        own = places[-1]
        # a label within the function may hide its name from llvm-symbolizer
        name = own.function if frame.function == UNKNOWN_FUNCTION else frame.function
        return SymbolizedFrame(name, own.file, own.line, places[:-1], len(found) == 1)

    def _look_up(self, addresses: Iterable[int]) -> dict[int, tuple[Location, ...]]:
        lines = [f"{address:#x}" for address in sorted(addresses)]
        if not lines:
            return {}
        finished = self._runner.run(
            [
                self._program,
                f"--obj={self._kernel}",
                "--inlines",
                "--no-demangle",
                "--output-style=JSON",
            ],
            stdin="".join(f"{line}\n" for line in lines).encode(),
            deadline=SECONDS,
        )
        return dict(self._answer(line) for line in finished.text.splitlines() if line.strip())

    def _answer(self, line: str) -> tuple[int, tuple[Location, ...]]:
        try:
            answer = json.loads(line)
            symbols = answer.get("Symbol", [])
            places = tuple(self._location(symbol) for symbol in symbols)
            return int(answer["Address"], 16), tuple(p for p in places if p.function)
        except (ValueError, KeyError, TypeError) as error:
            raise InfraError(
                f"{self._program} answered with what is not its JSON: {line[:200]}",
                remedy=f"install llvm of version {OLDEST_LLVM} or later",
            ) from error

    def _location(self, symbol: dict[str, Any]) -> Location:
        return Location(symbol["FunctionName"], self._relative(symbol["FileName"]), symbol["Line"])

    def _relative(self, file: str) -> str:
        path = posixpath.normpath(file) if file else ""
        roots = (root for root in self._source_roots if path.startswith(root))
        return path.removeprefix(next(roots, ""))


def find_program() -> str:
    """The newest llvm-symbolizer on the search path.

    Raises:
        InfraError: there is none.
    """
    names = [f"{PROGRAM}-{version}" for version in range(NEWEST_LLVM, OLDEST_LLVM - 1, -1)]
    for name in [*names, PROGRAM]:
        found = shutil.which(name)
        if found:
            return found
    raise InfraError(
        f"the program {PROGRAM} is not installed", remedy="install it: apt-get install llvm"
    )
