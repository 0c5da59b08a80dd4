"""The sandbox of builds, bubblewrap(1).

A build has no network, sees no other processes, no home directory and no directories of the user;
programs, libraries and headers of the host are read-only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.host.process import Runner

#: Directories of programs, libraries and headers in different distributions.
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
                  "/nix/store", "/gnu/store")  # fmt: skip

#: Files in /etc that compilers, the dynamic loader and install(1) read; none is confidential.
_ETC: Final = ("alternatives", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
               "nsswitch.conf", "passwd")  # fmt: skip

#: Paths in /proc through which root could change the host without capabilities, as in container
#: engines. bwrap(1) does not protect /proc/sys if its directory is not writable but its files are.
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_HIDDEN: Final = ("/proc/acpi", "/proc/asound", "/proc/driver", "/proc/kcore", "/proc/keys",
                  "/proc/latency_stats", "/proc/scsi", "/proc/timer_list")  # fmt: skip

_HOME: Final = "/nobody"
"""The home directory, which is empty."""

_WITHOUT: Final = "or build without one: --no-sandbox, or [build] sandbox = false in the settings"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The directories that a build can access.

    Args:
        readable: directories that it can read.
        writable: directories that it can write; they may be below readable ones.
    """

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]

    def words(self, command: Sequence[str | Path], directory: Path) -> list[str | Path]:
        """Return the command that runs ``command`` in the sandbox, in the directory ``directory``.

        All processes end with the first one, which ends with the thread that started it.
        """
        return [
            "bwrap",
            "--die-with-parent",
            "--unshare-user-try", "--unshare-ipc", "--unshare-pid", "--unshare-net",
            "--unshare-uts", "--unshare-cgroup-try",
            "--cap-drop", "ALL",
            *_system(),
            "--dev", "/dev",
            *_proc(),
            "--tmpfs", "/tmp",  # noqa: S108 - the sandbox's own
            *_temporary(),
            "--dir", _HOME, "--setenv", "HOME", _HOME,
            *_bound("--ro-bind", self.readable),
            *_bound("--bind", self.writable),
            "--chdir", str(directory),
            "--",
            *command,
        ]  # fmt: skip


def require(runner: Runner) -> None:
    """Check that a sandbox can be started.

    Raises:
        InfraError: bubblewrap is not installed, or cannot create namespaces.
    """
    if shutil.which("bwrap") is None:
        raise InfraError(
            "the sandbox for builds cannot start: bubblewrap is not installed",
            remedy=f"install it: apt-get install bubblewrap; {_WITHOUT}",
        )
    tried = runner.run(Sandbox((), ()).words(["true"], Path("/")), check=False)
    if tried.returncode != 0:
        raise InfraError(
            "the sandbox for builds cannot start: bubblewrap failed",
            remedy=f"allow user namespaces, see user_namespaces(7); {_WITHOUT}",
            detail=tried.stderr.decode("utf-8", "replace").strip(),
        )


def _system() -> Iterator[str]:
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), name)
        elif path.is_dir():
            yield from ("--ro-bind", name, name)
    for name in _ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")


def _proc() -> Iterator[str]:
    yield from ("--proc", "/proc")
    for name in filter(os.path.exists, _READ_ONLY):
        yield from ("--ro-bind", name, name)
    for name in filter(os.path.exists, _HIDDEN):
        if os.path.isdir(name):
            yield from ("--tmpfs", name, "--remount-ro", name)
        else:
            yield from ("--ro-bind", os.devnull, name)


def _temporary() -> Iterator[str]:
    """Generate the options for an empty directory in place of ``$TMPDIR``."""
    given = os.environ.get("TMPDIR")
    if given and os.path.isabs(given):
        yield from ("--tmpfs", given)


def _bound(how: str, paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        yield from (how, str(path), str(path))
