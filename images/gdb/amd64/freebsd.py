"""What gdb needs to know of FreeBSD's kernel; gdb's own Python runs this.

Debian's gdb is built without FreeBSD's part. ``harness gdb`` loads this file after the kernel's
symbols, and calls ``select_panicked`` when it is connected.
"""

import os

import gdb
import gdb.unwinder

ENTRIES = {"calltrap", "nmi_calltrap", "mchk_calltrap", "fast_syscall_common", "fork_trampoline"}
"""Symbols behind which a struct trapframe is on the stack (sys/amd64/amd64/exception.S)."""

REGISTERS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
"""Registers in a struct trapframe, each with the prefix ``tf_``."""

PANICS = {"vpanic", "panic", "kdb_enter", "trap_fatal", "db_trap"}
"""Functions of which one is on the stack of the CPU that has panicked or is in DDB."""

MOST_FRAMES = 64


class FrameId:
    """Identifies a frame for gdb."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class TrapFrames(gdb.unwinder.Unwinder):
    """Continues a backtrace at the instruction that was interrupted by a trap or an interrupt."""

    def __init__(self):
        super().__init__("FreeBSD trap frames")

    def __call__(self, pending):
        """Return the registers of the interrupted code; None for other frames."""
        if not is_entry(symbol_at(int(pending.read_register("rip")))):
            return None
        stack = pending.read_register("rsp")
        try:
            frame = stack.cast(gdb.lookup_type("struct trapframe").pointer()).dereference()
            found = [(name, frame["tf_" + name]) for name in REGISTERS]
            if int(dict(found)["rip"]) == 0:
                return None
            unwound = pending.create_unwind_info(FrameId(stack, pending.read_register("rip")))
            for name, value in found:
                kind = pending.read_register(name).type
                unwound.add_saved_register(name, value.cast(kind))
        except gdb.error:
            return None
        return unwound


def is_entry(name):
    """Return whether a symbol is an entry of the kernel: ``calltrap``, ``Xtimerint``."""
    return name in ENTRIES or (name[:1] == "X" and name[1:2] not in ("", "_"))


def symbol_at(address):
    """Return the symbol at an address; empty if there is none."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    return text.split(" ", 1)[0] if " in section" in text else ""


def select_panicked():
    """Select the CPU that has panicked or is in DDB; the first one if none has."""
    first = gdb.selected_thread()
    for thread in sorted(gdb.selected_inferior().threads(), key=lambda each: each.num):
        thread.switch()
        frame = gdb.newest_frame()
        for _ in range(MOST_FRAMES):
            if frame is None:
                break
            if frame.name() in PANICS:
                return
            try:
                frame = frame.older()
            except gdb.error:
                break
    if first is not None:
        first.switch()


def load_modules(files):
    """Load the symbols of the modules in the guest's memory.

    Args:
        files: for each module's name in the kernel, its file, and each section that is loaded:
            name, alignment and size, in the order of the file.
    """
    for name, address in loaded_modules():
        if name in files:
            path, sections = files[name]
            words = ["add-symbol-file", quoted(path)]
            end = address
            for section, alignment, size in sections:
                start = -(-end // alignment) * alignment
                words.append(f"-s {section} {start:#x}")
                end = start + size
            gdb.execute(" ".join(words), to_string=True)


def loaded_modules():
    """Generate name and address of each module (sys/kern/kern_linker.c, linker_files)."""
    try:
        each = gdb.parse_and_eval("linker_files.tqh_first")
        for _ in range(1024):
            if int(each) == 0:
                return
            name = os.path.basename(each["filename"].string("utf-8", "replace"))
            yield name, int(each["address"])
            each = each["link"]["tqe_next"]
    except gdb.error:  # before the kernel has its list
        return


def quoted(path):
    """Return a file's name as an argument of a gdb command."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


gdb.unwinder.register_unwinder(None, TrapFrames(), replace=True)
