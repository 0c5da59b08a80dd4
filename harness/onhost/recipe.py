"""Files, flags and symbols of host programs; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.arch import GUEST

#: Interfaces whose headers (``makeobjops.awk``) the followed files include through bus.h.
INTERFACES: Final = ("bus", "device")

#: Files of the tree that are compiled in addition to those that subsystems follow: sets of domains.
REQUIRED: Final = ("sys/kern/kern_cpuset.c",)

#: Options that are left out: no process can map memory where a sanitizer's shadow lies.
WITHOUT: Final = frozenset(
    {"KASAN", "KMSAN", "KCSAN", "KUBSAN", "COVERAGE", "KCOV", "GCOV", "WITNESS"}
)
#: Options that are added: they make taking a lock a call of a function.
WITH: Final = "options MUTEX_NOINLINE\noptions RWLOCK_NOINLINE\noptions SX_NOINLINE\n"

#: The symbols that both halves share (``c/hostside.h``).
_INTERFACE: Final = (
    "host_memory", "host_release", "host_arena", "host_reserve", "host_set_cpu", "host_send",
    "host_note", "host_log", "host_format", "host_end", "kern_start", "kern_take", "kern_quiet",
    "traps",
    "__llvm_profile_counter_bias",
)  # fmt: skip

#: Functions of the C library that compilers or the tree's files call; the host's do the same.
_LIBRARY: Final = frozenset({
    "memcpy", "memset", "memmove", "memcmp", "bcmp", "bzero", "strlen", "strcmp", "strncmp",
    "strcpy", "strncpy", "strchr", "strrchr", "strnlen", "strstr",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replaceable:
    """A file of the tree that is used if it compiles, and its substitute.

    Args:
        path: its path in the tree.
        fallback: the substitute, in ``onhost/c``.
        what: its purpose, in words.
        weak: whether the program's own symbols override it, and its SYSINITs do not run.
        flags: more flags of the compiler.
    """

    path: str
    fallback: str
    what: str
    weak: bool = False
    flags: tuple[str, ...] = ()


REPLACEABLE: Final = (
    Replaceable("sys/vm/vm_page.c", "fallback_waits.c", "waits for memory", weak=True),
    Replaceable(
        "sys/kern/subr_smr.c",
        "fallback_smr.c",
        "safe memory reclamation",
        flags=("-Dsmr_poll=tree_smr_poll",),
    ),
)

#: Sources of the kernel half.
KERNEL_HALF: Final = ("absent.c", "access.c", "atomics.c", "cpus.c", "locks.c", "lockwords.c",
                      "memory.c", "races.c", "services.c", "shadow.c", "sleep.c", "start.c",
                      "tasks.c", "threads.c", "undefined.c", "worker.c")  # fmt: skip
HOST_HALF: Final = "hostside.c"
#: What they replace, for the record.
SHIMMED: Final = (
    "time and sleeping: when no thread can run, a handler or a callout wakes one",
    "page accounting: all domains have pages, and addresses are always mapped",
    "locks: owners are kept; a thread blocks where another one is the owner",
    "CPUs: one thread runs at a time, and moves between them; others run by a schedule",
    "malloc(9), printf(9), counter(9), sysctl(9), eventhandler(9), taskqueue(9)",
)

#: Generic sources of the check module that host programs share.
MODULE: Final = ("guest.c", "memory.c", "protocol.c", "text.c")

_COMMON: Final = (
    "-std=gnu11", "-ffreestanding", "-fno-common", "-fno-pic", "-fno-stack-protector",
    "-fno-strict-aliasing", "-fwrapv", "-fno-omit-frame-pointer", "-ffunction-sections",
    "-nostdinc", "-w",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelFlags:
    """Compiler flags of sources that include the tree's headers.

    Args:
        release: the tree's release, such as 13.2, which is part of the target's name.
        sys: the tree's ``sys``.
        links: the directory of links to directories that are included by another name.
        options: the directory of option headers.
        generated: directories of other generated headers.
    """

    release: str
    sys: Path
    links: Path
    options: Path
    generated: tuple[Path, ...] = ()

    def words(self, optimisation: str, more: Iterable[str] = ()) -> list[str]:
        """Return the compiler's arguments, without the source."""
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


HOST_FLAGS: Final = ("-O2", "-fno-omit-frame-pointer", "-fno-pic")


def trapped(undefined: Iterable[str], defined_by_host: Iterable[str] = _INTERFACE) -> list[str]:
    """Return those undefined symbols of the kernel half that the host half does not define."""
    known = _LIBRARY.union(defined_by_host)
    return sorted(
        name for name in set(undefined) - known if not name.startswith(("__start_", "__stop_"))
    )


def trap_source(names: Sequence[str]) -> str:
    """Return an assembly source that defines symbols as inaccessible memory, and lists them."""
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
    """Return the symbols that both halves share, one per line."""
    return "".join(f"{name}\n" for name in _INTERFACE)
