"""bubblewrap(1): a foreign build system runs with what it needs of the host, and nothing else.

It has no network, no processes but its own, no home and no directory of the user's; the system's
directories are read-only. Of the host it sees programs, libraries and headers.
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

#: Programs, libraries and headers, wherever distributions keep them.
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
                  "/nix/store", "/gnu/store")  # fmt: skip

#: What compilers, loaders and install(1) read of /etc; nothing secret is in there.
_ETC: Final = ("alternatives", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
               "nsswitch.conf", "passwd")  # fmt: skip

#: Of /proc what root could change on the host, even without capabilities; as container engines
#: have it. bwrap(1) leaves /proc/sys as it is where its directory is not writable, its files are.
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_HIDDEN: Final = ("/proc/acpi", "/proc/asound", "/proc/driver", "/proc/kcore", "/proc/keys",
                  "/proc/latency_stats", "/proc/scsi", "/proc/timer_list")  # fmt: skip

_HOME: Final = "/nobody"
"""The empty home."""

_WITHOUT: Final = (
    "to build without one all the same: --no-sandbox, or in the settings: [build] sandbox = false"
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a build gets to see.

    Args:
        readable: directories that it reads.
        writable: directories that it changes; they may be below those.
    """

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]

    def words(self, command: Sequence[str | Path], folder: Path) -> list[str | Path]:
        """The command line that runs ``command`` in ``folder`` of the sandbox.

        All of it ends with its first process, which ends with the thread that started it.
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
            "--chdir", str(folder),
            "--",
            *command,
        ]  # fmt: skip


def require(runner: Runner) -> None:
    """Refuse to go on where no sandbox can be started.

    Raises:
        InfraError: bubblewrap is missing, or the host does not let it make namespaces.
    """
    if shutil.which("bwrap") is None:
        raise InfraError(
            "FreeBSD trees are built in a sandbox, and bubblewrap is not installed",
            remedy=f"install it: apt-get install bubblewrap; {_WITHOUT}",
        )
    tried = runner.run(Sandbox((), ()).words(["true"], Path("/")), check=False)
    if tried.returncode != 0:
        raise InfraError(
            "FreeBSD trees are built in a sandbox, and bubblewrap cannot start one here",
            remedy=f"let it make namespaces (user_namespaces(7)); {_WITHOUT}",
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
    """An empty directory in the place of the user's own for temporary files."""
    given = os.environ.get("TMPDIR")
    if given and os.path.isabs(given):
        yield from ("--tmpfs", given)


def _bound(how: str, paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        yield from (how, str(path), str(path))
