"""Patterns of what is printed by hypervisors, firmware and loaders.

The formats are those of the FreeBSD 13.2 and 15.1 sources, of QEMU, of EDK II's boot manager and
of its exception handler; a comment names the source. ``harness.console.patterns`` has the others.
"""

from __future__ import annotations

from typing import Final

from harness.console import events as e
from harness.console.eventkinds import LoaderFault
from harness.console.pattern import Name, clip, loader_error, pattern

HYPERVISOR: Final = (
    # usr.sbin/bhyve/vmexit.c: "vm exit[3]", then a line for each fact
    pattern(
        Name.BHYVE_STOPPED,
        "(Triple fault)",
        r"^\s*exit_reason\s+\d{1,5} \((?P<reason>Triple fault)\)",
        lambda at, m: e.GuestStopped(at, m["reason"].lower()),
    ),
    # Xen, hvm_triple_fault()
    pattern(
        Name.XEN_STOPPED,
        " Triple fault",
        r"^\(XEN\) d\d{1,5}v\d{1,5} (?P<reason>Triple fault)",
        lambda at, m: e.GuestStopped(at, m["reason"].lower()),
    ),
    # QEMU accel/kvm/kvm-all.c, kvm_cpu_exec() and kvm_handle_internal_error()
    pattern(
        Name.KVM_FAILED,
        "KVM internal error",
        r"^(?P<reason>KVM internal error)\. Suberror: \d",
        lambda at, m: e.GuestStopped(at, m["reason"]),
    ),
    pattern(
        Name.KVM_REFUSED,
        "KVM: entry failed",
        r"^(?P<reason>KVM: entry failed), hardware error 0x[0-9a-f]{1,16}",
        lambda at, m: e.GuestStopped(at, m["reason"]),
    ),
)

FIRMWARE: Final = (
    # EDK II MdeModulePkg/Library/UefiBootManagerLib and Universal/BdsDxe; a second start follows a
    # reset of the guest
    pattern(
        Name.FIRMWARE_STARTED,
        "BdsDxe: loading",
        r"BdsDxe: loading (?P<option>Boot[0-9A-F]{4})",
        lambda at, m: e.FirmwareStarted(at, m["option"]),
        emits=e.FirmwareStarted,
        ends_failure=True,
    ),
    pattern(
        Name.FIRMWARE_FAILED,
        "BdsDxe: No bootable",
        r"BdsDxe: (?P<text>No bootable option.*)",
        lambda at, m: e.FirmwareFailed(at, clip(m["text"])),
    ),
    pattern(
        Name.FIRMWARE_SHELL,
        "UEFI Interactive Shell",
        r"(?P<text>UEFI Interactive Shell.*)",
        lambda at, m: e.FirmwareFailed(at, clip(m["text"])),
    ),
    # EDK II UefiCpuPkg/Library/CpuExceptionHandlerLib, DumpCpuContext()
    pattern(
        Name.FIRMWARE_EXCEPTION,
        "!!!! X64 Exception Type",
        r"!!!! X64 Exception Type - (?P<vector>[0-9A-Fa-f]{2})(?:\((?P<name>[^()]{1,80})\))?",
        lambda at, m: e.FirmwareException(at, int(m["vector"], 16), m["name"] or ""),
        ends_failure=True,
    ),
)

LOADER: Final = (
    # stand/common/boot.c, module.c, load_elf.c, interp_simple.c; stand/efi/loader/*.c
    pattern(
        Name.LOADER_STARTED,
        "loader, Revision ",
        r"FreeBSD/\S{1,16} [^,]{0,64}loader, Revision (?P<revision>[\w.]{1,32})",
        lambda at, m: e.LoaderStarted(at, m["revision"]),
        emits=e.LoaderStarted,
    ),
    pattern(
        Name.FILES_UNLOADED,
        "unloading kernel",
        r"(?P<text>changed \w+, unloading kernel)",
        lambda at, m: e.FilesUnloaded(at, m["text"]),
        before_kernel_only=True,
    ),
    # stand/efi/boot1/boot1.c, stand/i386/btx/btx/btx.S
    pattern(
        Name.BOOT_BLOCK_STARTED,
        "boot",
        r"^(?P<stage>>> FreeBSD EFI boot block|FreeBSD/\w{1,16} boot\s*$"
        r"|Loading /boot/(?:defaults/)?loader\.conf)",
        lambda at, m: e.LoaderStarted(at, m["stage"].strip()),
        emits=e.LoaderStarted,
        before_kernel_only=True,
    ),
    pattern(
        Name.BIOS_LOADER_STARTED,
        "BTX loader ",
        r"BTX loader (?P<revision>[\d.]{1,16})",
        lambda at, m: e.LoaderStarted(at, m["revision"]),
        emits=e.LoaderStarted,
        before_kernel_only=True,
    ),
    loader_error(Name.BIOS_LOADER_HALTED, "BTX halted", r"(?P<text>BTX halted)"),
    pattern(
        Name.MODULES_LOADING,
        "Loading configured modules",
        r"Loading configured modules\.\.\.",
        lambda at, _: e.ModulesLoading(at),
        before_kernel_only=True,
    ),
    # stand/libsa/panic.c, panic_action()
    loader_error(
        Name.LOADER_PANICKED,
        "--> Press a key",
        r"(?P<text>--> Press a key on the console.*)",
        LoaderFault.RESULT,
    ),
    # stand/common/interp_lua.c, stand/libsa/zfs, stand/efi/boot1/boot1.c
    loader_error(Name.LOADER_ERROR, "ERROR: ", r"^(?:LUA )?ERROR: (?P<text>.*)"),
    loader_error(
        Name.LOADER_ZFS,
        "i/o error - all block",
        r"(?P<text>(?:ZFS: )?i/o error - all block copies unavailable.*)",
    ),
    loader_error(Name.LOADER_ZFS_POOL, "ZFS: ", r"^(?P<text>ZFS: .*)"),
    # stand/i386/gptboot, gptzfsboot, zfsboot and boot2: they print nothing but errors
    loader_error(
        Name.BOOT_BLOCK_FAILED,
        "boot: ",
        r"^(?:gpt|gptzfs|zfs)boot: (?P<text>\S.*)",
    ),
    loader_error(
        Name.LOADER_IMAGE,
        "Failed to ",
        r"(?P<text>Failed to (?:load|start|query|find) (?!kernel).*)",
    ),
    loader_error(
        Name.LOADER_CANNOT,
        "can't ",
        r"(?P<text>can't (?:find|load|open|boot|verify) .*)",
        LoaderFault.REFUSED,
    ),
    loader_error(
        Name.LOADER_UNKNOWN_FORMAT,
        "don't know how to load",
        r"(?P<text>don't know how to load module .*)",
        LoaderFault.REFUSED,
    ),
    loader_error(
        Name.LOADER_NO_KERNEL,
        "kernel",
        r"(?P<text>no bootable kernel|no valid kernel found|Unable to load a kernel!"
        r"|Failed to load (?:\w+ )?kernel\b.*|No kernel set, failed to load .*)",
        LoaderFault.RESULT,
    ),
    loader_error(Name.LOADER_NO_MEMORY, "no memory to load", r"(?P<text>no memory to load .*)"),
    loader_error(
        Name.LOADER_ELF,
        "elf64_",
        r"(?<!\w)(?P<text>elf64_\w{1,64}: .*)",
    ),
    loader_error(
        Name.LOADER_UNABLE,
        "nable to ",
        r"(?P<text>(?:efi_check_space: )?Unable to (?:allocate|expand) .*)",
    ),
    loader_error(
        Name.LOADER_FIRMWARE_CALL,
        "taging area",
        r"(?P<text>failed to allocate staging area: .*"
        r"|Can't find valid memory map for staging area!)",
    ),
    pattern(
        Name.KERNEL_LOADING,
        " text=0x",
        r"^(?P<path>/\S{1,255}) text=0x",
        lambda at, m: e.FileLoading(at, m["path"]),
        emits=e.FileLoading,
        before_kernel_only=True,
    ),
    pattern(
        Name.FILE_LOADING,
        "size=0x",
        r"^(?P<path>/\S{1,255}) .?size=0x[0-9a-f]+",
        lambda at, m: e.FileLoading(at, m["path"]),
        emits=e.FileLoading,
        before_kernel_only=True,
    ),
    pattern(
        Name.MODULE_LOADING,
        "size 0x",
        r"^(?P<path>/\S{1,255}) .?size 0x[0-9a-f]+",
        lambda at, m: e.FileLoading(at, m["path"]),
        emits=e.FileLoading,
        before_kernel_only=True,
    ),
    # stand/efi/loader/arch/*/*.c, elf64_exec()
    pattern(
        Name.KERNEL_ENTERED,
        "Start @ 0x",
        r"Start @ 0x(?P<entry>[0-9a-f]{1,16}) \.\.\.",
        lambda at, m: e.KernelEntered(at, int(m["entry"], 16)),
        emits=e.KernelEntered,
    ),
)
