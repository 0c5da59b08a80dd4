"""A private libvirtd for root.

libvirt starts a session daemon for ordinary users only; root gets the system's daemon, with the
system's configuration, directories and guests. A daemon whose user id is not 0 keeps everything
below the XDG directories in its environment. The harness therefore starts it in a user namespace,
in which the caller is user 1: it has root's access to files and devices, no privileges, and shares
nothing with the system's libvirtd. This requires util-linux's ``unshare`` and a Linux that permits
user namespaces.

One daemon serves all harness processes of a workspace. It outlives them on purpose, since it
ends the guests of a harness that was killed. It exits when it has had neither clients nor guests
for ``IDLE_SECONDS``.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.host.confinement import ResourceLimits, unprivileged
from harness.host.private import private_directory
from harness.host.programs import missing_program
from harness.host.sockets import peer_of
from harness.host.workspace import Workspace, make_directory, write_atomic

if TYPE_CHECKING:
    from harness.host.process import Runner

IDLE_SECONDS: Final = 10
START_SECONDS: Final = 60.0
"""Timeout of the daemon's start; it takes half a second on an idle host."""

_LIBVIRTD: Final = "libvirtd"
_SBIN: Final = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_LONGEST_SOCKET: Final = "libvirt/qemu/lib/domain-1000-harness-0123456789ab/monitor.sock"
_SOCKET_PATH_LIMIT: Final = 107

_QEMU_CONF: Final = """\
# No virtlogd runs, and no security driver works for a user without privileges.
stdio_handler = "file"
security_driver = "none"
# QEMU's filter of system calls, which is libvirt's default where QEMU has it.
seccomp_sandbox = 1
max_core = 0
max_files = 1024
"""


class PrivateLibvirtd:
    """The daemon of one workspace, started on demand.

    Args:
        runner: starts it.
        workspace: holds its sockets, configuration and cache.
        waiting: called with the process id of another harness that is starting it.
        idle_seconds: time without clients and guests after which it exits.
    """

    def __init__(
        self,
        runner: Runner,
        workspace: Workspace,
        waiting: Callable[[str], None] | None = None,
        idle_seconds: int = IDLE_SECONDS,
    ) -> None:
        self._runner = runner
        self._workspace = workspace
        self._waiting = waiting
        self._idle_seconds = idle_seconds
        self._root = workspace.runtime / "libvirt"

    @property
    def socket(self) -> Path:
        """The daemon's socket."""
        return self._root / "run" / "libvirt" / "libvirt-sock"

    @property
    def uri(self) -> str:
        """The daemon's address for libvirt's clients."""
        return f"qemu+unix:///session?socket={self.socket}"

    @property
    def log_directory(self) -> Path:
        """The directory with each guest's log, which has QEMU's standard error."""
        return self._cache / "libvirt" / "qemu" / "log"

    def ensure(self) -> None:
        """Start the daemon if it does not run.

        Raises:
            InfraError: it is not installed, or does not start.
        """
        self._workspace.private_runtime()
        if self._answers():
            return
        with self._workspace.lock("libvirtd", self._waiting):
            if not self._answers():
                self._start()

    @property
    def _cache(self) -> Path:
        return self._workspace.cache / "libvirt"

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            peer = peer_of(client)
        return peer is None or peer.is_trusted

    def _start(self) -> None:
        self._prepare()
        daemon = (
            *(_program(), "--daemon", "--timeout", str(self._idle_seconds)),
            *("--config", str(self._root / "libvirtd.conf")),
        )
        # In this order: on some hosts, a process without privileges cannot create a user namespace.
        argv = (
            *("unshare", "--user", "--map-user=1", "--map-group=1", "--"),
            *unprivileged(daemon, ResourceLimits()),
        )
        environment = {
            "HOME": str(self._root),
            "XDG_RUNTIME_DIR": str(self._root / "run"),
            "XDG_CONFIG_HOME": str(self._root),
            "XDG_CACHE_HOME": str(self._cache),
        }
        # With --daemon it leaves this process group, and returns when it answers.
        started = self._runner.run(argv, env=environment, deadline=START_SECONDS, check=False)
        if started.returncode != 0:
            raise InfraError(
                f"libvirtd ended with exit status {started.returncode} when the harness started it",
                remedy="if root cannot create user namespaces on this host: use --backend qemu, "
                "an ordinary user, or a libvirtd of your own with --libvirt-uri",
                detail="\n".join(started.stderr.decode("utf-8", "replace").splitlines()[-10:]),
            )

    def _prepare(self) -> None:
        longest = self._root / _LONGEST_SOCKET
        if len(bytes(longest)) > _SOCKET_PATH_LIMIT:
            raise InfraError(
                f"{self._root}: path too long for libvirt's sockets, such as {longest}",
                remedy="set XDG_RUNTIME_DIR to a shorter path",
            )
        private_directory(self._root)
        for directory in (self._root / "run", self._cache):
            make_directory(directory)
        write_atomic(self._root / "libvirt" / "qemu.conf", _QEMU_CONF)
        write_atomic(
            self._root / "libvirtd.conf",
            f'unix_sock_dir = "{self.socket.parent}"\nauth_unix_rw = "none"\n',
        )


def _program() -> str:
    """Return the path of libvirtd, which an ordinary ``PATH`` does not contain."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN))
    found = shutil.which(_LIBVIRTD, path=path)
    if found is None:
        raise missing_program(_LIBVIRTD)
    return found
