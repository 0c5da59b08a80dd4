"""What the compiler adds to the tree's files in a host program; pure.

Clang's sanitizers are used with run-time libraries of the harness (``c/shadow.c``,
``c/undefined.c``, ``c/races.c``): each trace and each schedule runs in a copy of the program
(fork(2)), threads are coroutines, and the tree's own ``kasan_mark()`` calls, locks and critical
sections say which memory is valid and what is ordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError

#: Flags for the tree's files where threads are interleaved: the tree's own hooks for sanitizers
#: (``sys/atomic_san.h``) make atomic(9) functions, and the compiler calls a function before each
#: load and store. The program defines both (``c/atomics.c``, ``c/access.c``).
_HOOKS: Final = ("-DSAN_NEEDS_INTERCEPTORS", "-DSAN_INTERCEPTOR_PREFIX=harness")
_INTERLEAVED: Final = (
    *_HOOKS, "-fsanitize=thread", "-mllvm", "-tsan-instrument-func-entry-exit=0",
)  # fmt: skip

#: Of files whose coverage is measured; their paths are those in the tree. Counters are found by an
#: offset that the program sets: a file that is mapped keeps them.
COVERED: Final = ("-fprofile-instr-generate", "-fcoverage-mapping",
                  "-fcoverage-compilation-dir=.",
                  "-mllvm", "-runtime-counter-relocation=true",
                  "-mllvm", "-enable-name-compression=false")  # fmt: skip

#: The address of the shadow of address 0: far from all mappings of a program, and from its arenas.
_SHADOW: Final = "0x200000000000"
_REDZONES: Final = "-asan-globals=true"
_NO_REDZONES: Final = "-asan-globals=false"
#: As the kernel's own build has them (``sys/conf/kern.pre.mk``), with calls instead of code.
_KASAN: Final = (
    *_HOOKS, "-fsanitize=kernel-address",
    *(word for option in (
        f"asan-mapping-offset={_SHADOW}", "asan-instrumentation-with-call-threshold=0",
        "asan-stack=true", "asan-use-after-scope=true",
        "asan-instrument-dynamic-allocas=true",
    ) for word in ("-mllvm", f"-{option}")),
    "-mllvm", _REDZONES,
)  # fmt: skip
_KUBSAN: Final = ("-fsanitize=undefined",)
_LINES: Final = ("-gline-tables-only",)

#: The kernel's sanitizers that host programs have, by their names.
SANITIZERS: Final = frozenset({"kasan", "kubsan", "kcsan"})


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """What is compiled into a host program.

    Args:
        interleaved: whether threads can switch at accesses to memory.
        covered: whether the program counts what it executes of the files of followed functions;
            copies of these files are stored beside it.
        sanitizers: names of the kernel's sanitizers, from ``SANITIZERS``.

    Raises:
        UsageError: they exclude each other, or host programs do not have them.
    """

    interleaved: bool = False
    covered: bool = False
    sanitizers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted(self.sanitizers - SANITIZERS)
        if unknown:
            raise UsageError(
                f"host programs have no {' and no '.join(each.upper() for each in unknown)}",
                remedy=f"leave it out, or check it in a guest: --on guest --{unknown[0]}",
            )
        if self.addresses and self.interleaved:
            raise UsageError(
                "--kasan: threads by schedules run in host programs without KASAN",
                remedy="leave --kasan out, or look for races: --kcsan",
            )

    @property
    def addresses(self) -> bool:
        """Whether invalid accesses to memory are found."""
        return "kasan" in self.sanitizers

    @property
    def races(self) -> bool:
        """Whether accesses are found that nothing orders."""
        return "kcsan" in self.sanitizers

    @property
    def keeps_texts(self) -> bool:
        """Whether files of followed functions are stored beside the program."""
        return self.covered or self.races

    @property
    def options(self) -> str:
        """Options to add to the kernel configuration."""
        return "options KASAN\n" if self.addresses else ""

    @property
    def of_all(self) -> tuple[str, ...]:
        """Flags of all sources that are compiled with the tree's headers."""
        shadow = (f"-DSHADOW_PLACE={_SHADOW}",) if self.addresses else ()
        return (*shadow, *(("-DRACES",) if self.races else ()))

    @property
    def of_tree(self) -> tuple[str, ...]:
        """Flags of the tree's files, but for what counts them."""
        return (*(_INTERLEAVED if self.interleaved else ()), *self._sanitized)

    @property
    def of_weak(self) -> tuple[str, ...]:
        """The same of a file whose variables others override, which have no redzones."""
        return tuple(_NO_REDZONES if word == _REDZONES else word for word in self.of_tree)

    @property
    def of_module(self) -> tuple[str, ...]:
        """Flags of the check module's sources, which a sanitizer's kernel has, too."""
        return self._sanitized if self.addresses else ()

    @property
    def _sanitized(self) -> tuple[str, ...]:
        return (
            *(_KASAN if self.addresses else ()),
            *(_KUBSAN if "kubsan" in self.sanitizers else ()),
            *(_LINES if self.sanitizers else ()),
        )

    @property
    def words(self) -> tuple[str, ...]:
        """All of it, for the keys of caches."""
        covered = COVERED if self.covered else ()
        return (*self.of_all, *self.of_tree, *self.of_module, *covered, *sorted(self.sanitizers))


PLAIN: Final = Instrumentation()
