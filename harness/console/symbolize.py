"""Source files and lines of a backtrace's frames, from the kernel's debug symbols.

A frame's address is that of its function's symbol plus the offset on the console. A return address
follows its call, which may be the last instruction of its line, so the address before it is looked
up, as kgdb does. FreeBSD loads its kernels at their link address.
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

from harness.console.events import UNKNOWN_FUNCTION, Frame
from harness.errors import InfraError, UsageError

if TYPE_CHECKING:
    from harness.host.process import Runner

PROGRAM = "llvm-symbolizer"
NEWEST_LLVM, OLDEST_LLVM = 30, 13
"""The versions to search for; 13 is the first that prints JSON."""

SECONDS = 300.0
"""Timeout of the symbolizer, which reads some hundred MB of debug symbols."""

_EXECUTED = 0x4  # SHF_EXECINSTR
_FUNCTION_TYPES = (0, 2)  # STT_NOTYPE, used by assembly, and STT_FUNC
_OVERLAPPING = 8  # symbols that may start between a function's start and an address in it
_CALL_NEAR = 0xE8
_CALL_INDIRECT = 0xFF
_CALL_INDIRECT_REG = 2
_LONGEST_CALL = 7


@dataclass(frozen=True, slots=True)
class Location:
    """A line of source code; ``line`` is 0 if it is not known."""

    function: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class SymbolizedFrame:
    """A frame with its line of source code.

    ``function`` is the function on the console, ``file`` and ``line`` the source in it. ``inlined``
    are functions that the compiler inlined there, innermost first. ``certain`` is false if several
    functions have that name.
    """

    function: str
    file: str
    line: int
    inlined: tuple[Location, ...] = ()
    certain: bool = True

    @property
    def locations(self) -> tuple[Location, ...]:
        """Inlined functions and the function itself, innermost first."""
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
        UsageError: the file is not an ELF file, or has no symbol table.
    """

    def __init__(self, kernel: Path) -> None:
        # Slow to import, and only failures have frames.
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection

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
                remedy="pass kernel.full or kernel.debug of the build: --kernel FILE",
            ) from error
        if not functions:
            raise UsageError(
                f"{kernel} has no symbols",
                remedy="pass kernel.full or kernel.debug of the build: --kernel FILE",
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
        """Return the function that contains ``address``; functions in assembly may have no size."""
        last = bisect.bisect_right(self._addresses, address)
        nearest = self._functions[max(0, last - _OVERLAPPING) : last][::-1]
        holding = [f for f in nearest if address < f.address + f.size]
        holding = holding or [f for f in nearest[:1] if f.size == 0]
        return holding[0].name if holding else None

    def addresses(self, frame: Frame) -> tuple[int, ...]:
        """Return the possible addresses of a frame; several if static functions share a name."""
        if frame.pc is not None:
            return (frame.pc,)
        named = self._by_name.get(frame.function, [])
        reach = frame.symbol_offset - frame.is_return_address
        candidates = [f for f in named if reach < f.size] or [f for f in named if f.size == 0]
        found = [function.address + frame.symbol_offset for function in candidates]
        if len(found) > 1 and frame.is_return_address:
            found = [address for address in found if self._follows_call(address)] or found
        return tuple(found)

    def _follows_call(self, address: int) -> bool:
        """Return whether a call instruction may end before ``address`` (Intel SDM, CALL)."""
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
        program: llvm-symbolizer, as returned by ``find_program``.
        source_roots: directories of the build; they are removed from file names.
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
        """The kernel's functions, read when the first frame is symbolized."""
        return SymbolTable(self._kernel)

    def symbolize(self, frames: Sequence[Frame]) -> tuple[SymbolizedFrame, ...]:
        """Return a symbolized frame for each frame; those in modules have only a function name.

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
        """Return the function that contains ``address``, or None."""
        return self.symbols.function_at(address)

    def _symbolized(
        self, frame: Frame, places: tuple[Location, ...], found: tuple[int, ...]
    ) -> SymbolizedFrame:
        if not places:
            return SymbolizedFrame(frame.function, "", 0)
        own = places[-1]
        # llvm-symbolizer may return a label within the function instead of its name
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
                f"{self._program} printed no valid JSON: {line[:200]}",
                remedy=f"install LLVM {OLDEST_LLVM} or later: apt-get install llvm",
            ) from error

    def _location(self, symbol: dict[str, Any]) -> Location:
        return Location(symbol["FunctionName"], self._relative(symbol["FileName"]), symbol["Line"])

    def _relative(self, file: str) -> str:
        path = posixpath.normpath(file) if file else ""
        roots = (root for root in self._source_roots if path.startswith(root))
        return path.removeprefix(next(roots, ""))


def find_program() -> str:
    """Return the path of the newest llvm-symbolizer on the search path.

    Raises:
        InfraError: llvm-symbolizer is not installed.
    """
    names = [f"{PROGRAM}-{version}" for version in range(NEWEST_LLVM, OLDEST_LLVM - 1, -1)]
    for name in [*names, PROGRAM]:
        found = shutil.which(name)
        if found:
            return found
    raise InfraError(
        f"the program {PROGRAM} is not installed", remedy="install it: apt-get install llvm"
    )
