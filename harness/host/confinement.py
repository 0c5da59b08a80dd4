"""What QEMU may do on the host: another user, no capabilities, limits. By util-linux's programs.

The user is taken on before exec(2): QEMU's own ``-runas`` comes after its system call filter,
which ends it. ``prlimit`` and ``setpriv`` replace themselves, so that the process is QEMU.
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

from harness.errors import UsageError
from harness.host.process import require_program

FIRST_UNUSED: Final = 0x70000000
LAST_UNUSED: Final = 0x7FFDFFFF
"""User ids that no part of a system hands out (systemd's table "Users, Groups, UIDs and GIDs")."""

ROOT: Final = "root"
"""The name of the user that leaves QEMU with root's files, though without root's capabilities."""

_NOBODY: Final = "nobody"
_TRIES: Final = 16
_NEEDED: Final = 1 << 6 | 1 << 7 | 1 << 8
"""CAP_SETGID, CAP_SETUID, CAP_SETPCAP; see capabilities(7)."""

_PROCESS_STATUS: Final = Path("/proc/self/status")
_UID_MAP: Final = Path("/proc/self/uid_map")
_PROCESSES: Final = Path("/proc")

MIB: Final = 1 << 20

LOG_BYTES: Final = 64 * MIB
"""What QEMU may write to its standard error, the only file that it writes."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user that QEMU runs as, with that group alone and those besides."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Of one process, in the units of setrlimit(2); None leaves what there is."""

    address_space: int | None = None
    file_size: int | None = None
    files: int | None = None
    processes: int | None = None

    def items(self) -> Iterator[tuple[str, int, int]]:
        """``prlimit``'s name, Python's constant and the value of each that is set."""
        named = (
            ("as", resource.RLIMIT_AS, self.address_space),
            ("fsize", resource.RLIMIT_FSIZE, self.file_size),
            ("nofile", resource.RLIMIT_NOFILE, self.files),
            ("nproc", resource.RLIMIT_NPROC, self.processes),
            ("core", resource.RLIMIT_CORE, 0),
        )
        yield from ((name, number, value) for name, number, value in named if value is not None)


def qemu_limits(memory_mib: int, cpus: int, identity: Identity | None) -> ResourceLimits:
    """Of QEMU with that guest.

    Beside the guest's memory: translated code (TCG's buffer, 1 GiB at most), the libraries, and
    for each thread a stack and an arena of malloc(3), which reserve far more than they use.
    Processes are limited only for a user that has no others.
    """
    return ResourceLimits(
        address_space=(memory_mib + 6 * 1024 + 256 * cpus) * MIB,
        file_size=LOG_BYTES,
        files=1024,
        processes=cpus + 128 if identity is not None and _is_unused(identity.uid) else None,
    )


def guest_identity(user: str | None, device: Path | None = None) -> Identity | None:
    """The user for one guest; None where that is the harness's own.

    Args:
        user: of the settings, a name or a number; None takes an unused one for each guest, or
            ``nobody``.
        device: of the accelerator; its group is added if that is what lets QEMU in.

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
    """Why an unprivileged user in the group of ``device`` may not use it; empty if it may."""
    status = device.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o006 == 0o006 or _groups_let_in(status):
        return ""
    return (
        f"guests run as an unprivileged user, who may not use {device} "
        f"(mode {mode:04o}, group {status.st_gid}; to change that: chgrp kvm {device}; "
        f"chmod 660 {device})"
    )


def confined(words: Sequence[str], identity: Identity | None, limits: ResourceLimits) -> list[str]:
    """The command that runs ``words`` as that user, without capabilities, within the limits.

    Raises:
        InfraError: a program is missing.
    """
    return _limited(words, _privilege_options(identity), limits)


def unprivileged(words: Sequence[str], limits: ResourceLimits) -> list[str]:
    """The same of a user who has no capabilities to begin with, and can never have any.

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
        _, most = resource.getrlimit(number)
        lowered = value if most == resource.RLIM_INFINITY else min(value, most)
        yield f"--{name}={lowered}"


def _privilege_options(identity: Identity | None) -> Iterator[str]:
    yield from _NO_PRIVILEGES
    if os.geteuid() == 0 and _may_change():
        yield "--bounding-set=-all"
    if identity is not None:
        groups = ",".join(map(str, identity.groups))
        yield from (f"--reuid={identity.uid}", f"--regid={identity.gid}")
        yield f"--groups={groups}" if groups else "--clear-groups"


def _may_change() -> bool:
    """Whether this process may take on another user's identity; root in a container may not."""
    try:
        lines = _PROCESS_STATUS.read_text().splitlines()
    except OSError:
        return True
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return int(effective, 16) & _NEEDED == _NEEDED


def _unused_user() -> tuple[int, int] | None:
    """A user id that nobody has, and the group of the same number; else ``nobody``'s."""
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
            f"the setting qemu.user names {user!r}, and this host has no such user",
            remedy="correct it, or leave it out: each guest then gets a user id of its own",
        ) from None
    return entry.pw_uid, entry.pw_gid


def _is_unused(uid: int) -> bool:
    return FIRST_UNUSED <= uid <= LAST_UNUSED


def _is_mapped(uid: int) -> bool:
    """Whether our user namespace has that id; a container may have 65536 only."""
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
    """The group that may use a device; none where that is root's."""
    return (status.st_gid,) if status.st_mode & 0o060 == 0o060 and status.st_gid else ()
