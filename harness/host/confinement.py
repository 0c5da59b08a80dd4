"""Confinement of QEMU, by setpriv(1) and prlimit(1): another user, no capabilities, limits.

The user is changed before exec(2). QEMU's option ``-runas`` cannot be used: QEMU changes the user
after it has enabled its system call filter, which kills it. ``prlimit`` and ``setpriv`` execute
their command, so that the process is QEMU.
"""

from __future__ import annotations

import os
import pwd
import random
import resource
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import InfraError, UsageError
from harness.host.programs import require_program

FIRST_UNUSED: Final = 0x70000000
LAST_UNUSED: Final = 0x7FFDFFFF
"""User IDs that no system assigns (systemd's table "Users, Groups, UIDs and GIDs")."""

ROOT: Final = "root"
"""The user that keeps root's user ID, and thus root's files, but not root's capabilities."""

_NOBODY: Final = "nobody"
_TRIES: Final = 16
_NEEDED: Final = 1 << 6 | 1 << 7 | 1 << 8
"""CAP_SETGID, CAP_SETUID and CAP_SETPCAP of capabilities(7)."""

_PROCESS_STATUS: Final = Path("/proc/self/status")
_UID_MAP: Final = Path("/proc/self/uid_map")
_PROCESSES: Final = Path("/proc")

MIB: Final = 1 << 20

LOG_BYTES: Final = 64 * MIB
"""Maximum size of QEMU's standard error, the only file that a QEMU without disks writes."""


@dataclass(frozen=True, slots=True)
class Identity:
    """User, group and supplementary groups that QEMU runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Limits of a process, in the units of setrlimit(2); None: unchanged."""

    address_space: int | None = None
    file_size: int | None = None
    files: int | None = None
    processes: int | None = None

    def items(self) -> Iterator[tuple[str, int, int]]:
        """Generate ``prlimit``'s name, Python's constant and the value of each limit."""
        named = (
            ("as", resource.RLIMIT_AS, self.address_space),
            ("fsize", resource.RLIMIT_FSIZE, self.file_size),
            ("nofile", resource.RLIMIT_NOFILE, self.files),
            ("nproc", resource.RLIMIT_NPROC, self.processes),
            ("core", resource.RLIMIT_CORE, 0),
        )
        yield from ((name, number, value) for name, number, value in named if value is not None)


def qemu_limits(
    memory_mib: int, cpus: int, identity: Identity | None, largest_disk: int = 0
) -> ResourceLimits:
    """Return the limits of QEMU for a guest.

    ``largest_disk`` is the most bytes that a file of its disks can grow to.

    The address space contains the guest's memory, TCG's buffer (1 GiB at most), libraries, and for
    each thread a stack and an arena of malloc(3), which reserve more than they use. Processes are
    limited only if the user has no others.
    """
    return ResourceLimits(
        address_space=(memory_mib + 6 * 1024 + 256 * cpus) * MIB,
        file_size=file_limit(largest_disk),
        files=1024,
        processes=cpus + 128 if identity is not None and _is_unused(identity.uid) else None,
    )


def file_limit(largest_disk: int) -> int:
    """Return the most bytes of a file that QEMU writes: its messages, or a disk."""
    return max(LOG_BYTES, largest_disk)


def limit_files(pid: int, limit: int) -> None:
    """Limit the size of the files that a process of this user writes, in bytes, for good.

    Raises:
        InfraError: it has ended, or is another user's.
    """
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
    except OSError as error:
        raise InfraError(
            f"cannot limit the files of process {pid}: {error.strerror}",
            remedy="run it again; if it fails again, use --backend qemu",
        ) from error


def guest_identity(user: str | None, device: Path | None = None) -> Identity | None:
    """Return the user for a guest; None if QEMU runs as the harness's user.

    Args:
        user: user name or ID of the settings; None: an unused ID, or ``nobody``.
        device: device of the accelerator; its group is added if QEMU needs it for access.

    Raises:
        UsageError: there is no such user.
    """
    if os.geteuid() != 0 or user == ROOT or not _may_change():
        return None
    found = _unused_user() if user is None else _named_user(user)
    if found is None:
        return None
    uid, gid = found
    return Identity(uid, gid, _device_groups(device) if device else ())


def device_refusal(device: Path) -> str:
    """Return why an unprivileged user in the group of ``device`` cannot use it; empty if it can."""
    status = device.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o006 == 0o006 or _groups_let_in(status):
        return ""
    return (
        f"guests run as an unprivileged user, who cannot use {device} "
        f"(mode {mode:04o}, group {status.st_gid}; to change that: chgrp kvm {device}; "
        f"chmod 660 {device})"
    )


def confined(words: Sequence[str], identity: Identity | None, limits: ResourceLimits) -> list[str]:
    """Return the command that runs ``words`` as a user, without capabilities, with limits.

    Raises:
        InfraError: a program is missing.
    """
    return _limited(words, _privilege_options(identity), limits)


def unprivileged(words: Sequence[str], limits: ResourceLimits) -> list[str]:
    """Return the command that runs ``words`` as this user, without privileges, with limits.

    Raises:
        InfraError: a program is missing.
    """
    return _limited(words, _NO_PRIVILEGES, limits)


def _limited(words: Sequence[str], privileges: Iterable[str], limits: ResourceLimits) -> list[str]:
    program = require_program(words[0])
    return [
        require_program("prlimit"), *_limit_options(limits), "--",
        require_program("setpriv"), *privileges, "--", program, *words[1:],
    ]  # fmt: skip


_NO_PRIVILEGES: Final = ("--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all")


def _limit_options(limits: ResourceLimits) -> Iterator[str]:
    for name, number, value in limits.items():
        _, hard = resource.getrlimit(number)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        yield f"--{name}={limit}"


def _privilege_options(identity: Identity | None) -> Iterator[str]:
    yield from _NO_PRIVILEGES
    if os.geteuid() == 0 and _may_change():
        yield "--bounding-set=-all"
    if identity is not None:
        groups = ",".join(map(str, identity.groups))
        yield from (f"--reuid={identity.uid}", f"--regid={identity.gid}")
        yield f"--groups={groups}" if groups else "--clear-groups"


def _may_change() -> bool:
    """Return whether this process can change its user; root in a container may not be able to."""
    try:
        lines = _PROCESS_STATUS.read_text().splitlines()
    except OSError:
        return True
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return int(effective, 16) & _NEEDED == _NEEDED


def _unused_user() -> tuple[int, int] | None:
    """Return an unused user ID and the group of the same number, or the IDs of ``nobody``."""
    taken = set(_running_users())
    for _ in range(_TRIES):
        uid = random.SystemRandom().randint(FIRST_UNUSED, LAST_UNUSED)
        if _is_mapped(uid) and uid not in taken and not _has_name(uid):
            return uid, uid
    try:
        entry = pwd.getpwnam(_NOBODY)
    except KeyError:
        return None
    return (entry.pw_uid, entry.pw_gid) if _is_mapped(entry.pw_uid) else None


def _named_user(user: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        if user.isdigit() and 0 < int(user) < 2**32 - 1:
            return int(user), int(user)
        raise UsageError(
            f"setting qemu.user: there is no user {user!r} on this host",
            remedy="correct or remove it; without it, each guest runs as an unused user ID",
        ) from None
    return entry.pw_uid, entry.pw_gid


def _is_unused(uid: int) -> bool:
    return FIRST_UNUSED <= uid <= LAST_UNUSED


def _is_mapped(uid: int) -> bool:
    """Return whether this user namespace maps a user ID; a container may have 65536 only."""
    try:
        lines = _UID_MAP.read_text().splitlines()
    except OSError:
        return True
    ranges = (map(int, line.split()) for line in lines)
    return any(first <= uid < first + count for first, _, count in ranges)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _running_users() -> Iterator[int]:
    for entry in os.scandir(_PROCESSES):
        if entry.name.isdigit():
            try:
                yield entry.stat().st_uid
            except OSError:  # it has ended
                continue


def _device_groups(device: Path) -> tuple[int, ...]:
    try:
        status = device.stat()
    except OSError:
        return ()
    return _groups_let_in(status)


def _groups_let_in(status: os.stat_result) -> tuple[int, ...]:
    """Return the group that can use a device, unless it is root's."""
    return (status.st_gid,) if status.st_mode & 0o060 == 0o060 and status.st_gid else ()
