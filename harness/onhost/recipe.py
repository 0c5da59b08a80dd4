"""How a tree's C becomes a program of the host: files, flags and commands. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.arch import GUEST

#: Headers of interfaces (``makeobjops.awk``) that the followed files include by way of bus.h.
INTERFACES: Final = ("bus", "device")

#: Of the tree, beside what subsystems follow: sets of domains.
REQUIRED: Final = ("sys/kern/kern_cpuset.c",)

#: Options that a program of the host cannot have: a sanitizer's shadow lies where no process may
#: map anything. Those of ``MUTEX_NOINLINE`` and its like have each lock taken by a function.
WITHOUT: Final = frozenset(
    {"KASAN", "KMSAN", "KCSAN", "KUBSAN", "COVERAGE", "KCOV", "GCOV", "WITNESS"}
)
WITH: Final = "options MUTEX_NOINLINE\noptions RWLOCK_NOINLINE\noptions SX_NOINLINE\n"

#: The symbols that both halves see; see ``c/hostside.h``.
_INTERFACE: Final = (
    "host_memory", "host_release", "host_arena", "host_set_cpu", "host_send", "host_note",
    "host_log", "host_format", "host_end", "kern_start", "kern_take", "traps",
    "__llvm_profile_counter_bias",
)  # fmt: skip

#: Of the C library, as compilers call it or the tree's files do; the same functions.
_LIBRARY: Final = frozenset({
    "memcpy", "memset", "memmove", "memcmp", "bcmp", "bzero", "strlen", "strcmp", "strncmp",
    "strcpy", "strncpy", "strchr", "strrchr", "strnlen", "strstr",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replaceable:
    """A file of the tree that is used where it compiles, and what stands in for it elsewhere.

    Args:
        path: in the tree.
        fallback: of ``onhost/c``.
        what: it is for, in words.
        weak: what the program has of its own beats it, and its SYSINITs are not run.
    """

    path: str
    fallback: str
    what: str
    weak: bool = False


REPLACEABLE: Final = (
    Replaceable("sys/vm/vm_page.c", "fallback_waits.c", "waits for memory", weak=True),
    Replaceable("sys/kern/subr_smr.c", "fallback_smr.c", "safe memory reclamation"),
)

#: Sources of the kernel half, and what they stand for in a record.
KERNEL_HALF: Final = ("absent.c", "access.c", "atomics.c", "cpus.c", "locks.c", "lockwords.c",
                      "memory.c", "services.c", "sleep.c", "start.c", "tasks.c", "threads.c",
                      "worker.c")  # fmt: skip
HOST_HALF: Final = "hostside.c"
SHIMMED: Final = (
    "time and sleeping: when no thread can run, a handler or a callout wakes one",
    "page accounting: all domains have pages, and addresses are always mapped",
    "locks: owners are kept; a thread blocks where another one is the owner",
    "CPUs: one thread runs at a time, and moves between them; others run by a schedule",
    "malloc(9), printf(9), counter(9), sysctl(9), eventhandler(9), taskqueue(9)",
)

#: Of generic sources of the check module that serve here as well.
MODULE: Final = ("guest.c", "memory.c", "protocol.c", "text.c")

_COMMON: Final = (
    "-std=gnu11", "-ffreestanding", "-fno-common", "-fno-pic", "-fno-stack-protector",
    "-fno-strict-aliasing", "-fwrapv", "-fno-omit-frame-pointer", "-ffunction-sections",
    "-nostdinc", "-w",
)  # fmt: skip


#: Of the tree's files where threads are interleaved: atomic(9) becomes functions by the tree's own
#: hooks for sanitizers (``sys/atomic_san.h``), and the compiler calls one before each load and
#: store. Both are the program's (``c/atomics.c``, ``c/access.c``).
INTERLEAVED: Final = (
    "-DSAN_NEEDS_INTERCEPTORS", "-DSAN_INTERCEPTOR_PREFIX=harness", "-fsanitize=thread",
    "-mllvm", "-tsan-instrument-func-entry-exit=0",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelFlags:
    """Flags for what is compiled with the tree's headers.

    Args:
        release: such as 13.2, for the target's name.
        sys: the tree's ``sys``.
        links: to directories that are included by another name.
        options: the directory of option headers.
        generated: directories of other generated headers.
    """

    release: str
    sys: Path
    links: Path
    options: Path
    generated: tuple[Path, ...] = ()

    def words(self, optimisation: str, more: Iterable[str] = ()) -> list[str]:
        """The compiler's arguments, but for the source."""
        directories = (self.links, self.options, *self.generated, self.sys,
                   self.sys / "contrib/ck/include", self.sys / "vm")  # fmt: skip
        return [
            "-target", GUEST.target.rstrip("0123456789.") + self.release,
            optimisation,
            *_COMMON,
            *GUEST.host_flags,
            "-D_KERNEL", "-DHAVE_KERNEL_OPTION_HEADERS",
            "-include", str(self.options / "opt_global.h"),
            f"-ffile-prefix-map={self.sys.parent}/=",
            *(f"-I{directory}" for directory in directories),
            *more,
        ]  # fmt: skip


#: Of files whose coverage is measured; their paths are those in the tree. Counters are found by an
#: offset that the program sets: a file that is mapped keeps them.
COVERED: Final = ("-fprofile-instr-generate", "-fcoverage-mapping",
                  "-fcoverage-compilation-dir=.",
                  "-mllvm", "-runtime-counter-relocation=true",
                  "-mllvm", "-enable-name-compression=false")  # fmt: skip

HOST_FLAGS: Final = ("-O2", "-fno-omit-frame-pointer", "-fno-pic")


def trapped(undefined: Iterable[str], defined_by_host: Iterable[str] = _INTERFACE) -> list[str]:
    """Of the symbols that the kernel half leaves undefined, those that nobody defines."""
    known = _LIBRARY.union(defined_by_host)
    return sorted(
        name for name in set(undefined) - known if not name.startswith(("__start_", "__stop_"))
    )


def trap_source(names: Sequence[str]) -> str:
    """An assembly source that defines symbols as memory that nobody may touch, and lists them."""
    lines = ['.section .traps,"aw",@nobits', ".balign 4096"]
    for name in names:
        lines += [f'.globl "{name}"', f'"{name}": .skip 4096']
    lines += ['.section .rodata,"a",@progbits']
    lines += [f'.Lname{number}: .asciz "{name}"' for number, name in enumerate(names)]
    lines += [".balign 8", ".globl traps", "traps:"]
    lines += [f'.quad .Lname{number}, "{name}"' for number, name in enumerate(names)]
    lines += [".quad 0, 0", '.section .note.GNU-stack,"",@progbits', ""]
    return "\n".join(lines)


def interface() -> str:
    """The symbols that both halves see, a line each."""
    return "".join(f"{name}\n" for name in _INTERFACE)
