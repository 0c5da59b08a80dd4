"""Files to and from a guest by SFTP, of which paramiko's client makes single requests.

Transfers of whole files by paramiko or fabric write under the final name and take what the server
says for granted; here, each request has a time limit, and ``harness.shell.received`` decides what
is taken.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import paramiko

from harness.errors import UsageError
from harness.host.workspace import unique
from harness.shell.received import Parts, ReceivedTree, ReceiveLimits
from harness.shell.shell import ShellError, ShellRefusedError
from harness.shell.ssh.command import CommandRun

if TYPE_CHECKING:
    from harness.shell.ssh.link import SshLink

_BLOCK: Final = 32768
_READ_AHEADS: Final = 4
_DF_SECONDS: Final = 60.0


class SftpFiles:
    """Copies files over an open SFTP session.

    Args:
        link: the connection.
        sftp: the session.
    """

    def __init__(self, link: SshLink, sftp: paramiko.SFTPClient) -> None:
        self._link = link
        self._sftp = sftp

    def put(self, source: Path, target: PurePosixPath) -> None:
        """See ``Shell``; the target appears when it is complete."""
        status = source.stat()
        directory = stat.S_ISDIR(status.st_mode)
        stage = staged_name(target)
        self._require_room(target, directory=directory)
        try:
            self._send(source, stage, status.st_mode)
            with self._link.request(f"rename {stage} to {target}"):
                self._sftp.posix_rename(str(stage), str(target))
        except BaseException:
            self._remove(stage)
            raise

    def get(self, source: PurePosixPath, target: Path, limits: ReceiveLimits) -> None:
        """See ``Shell``."""
        with ReceivedTree(source, target, limits) as tree:
            with self._link.request(f"read {source}"):
                mode = self._sftp.stat(str(source)).st_mode or 0
            self._receive(source, (), mode, tree)
            tree.finish()

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(ShellError), self._link.request("close a session"):
            self._sftp.close()

    def _require_room(self, target: PurePosixPath, *, directory: bool) -> None:
        """Check that ``target`` can be made or replaced, as a rename alone would not explain."""
        try:
            with self._link.request(f"look at {target}"):
                mode = self._sftp.stat(str(target)).st_mode or 0
        except ShellRefusedError as error:
            if _error_number(error) == errno.ENOENT:
                return
            raise
        if directory or stat.S_ISDIR(mode):
            raise ShellRefusedError(f"cannot put {target}: it exists in the guest")

    def _send(self, source: Path, target: PurePosixPath, mode: int) -> None:
        if stat.S_ISREG(mode):
            self._send_file(source, target, mode)
        elif stat.S_ISLNK(mode):
            with self._link.request(f"make the link {target}"):
                self._sftp.symlink(os.readlink(source), str(target))
        elif stat.S_ISDIR(mode):
            with self._link.request(f"make the directory {target}"):
                self._sftp.mkdir(str(target), stat.S_IMODE(mode) | stat.S_IRWXU)
            for entry in sorted(os.scandir(source), key=lambda one: one.name):
                status = entry.stat(follow_symlinks=False)
                self._send(Path(entry.path), target / entry.name, status.st_mode)
        else:
            raise OSError(errno.EINVAL, "not a file, a directory or a link", str(source))

    def _send_file(self, source: Path, target: PurePosixPath, mode: int) -> None:
        with source.open("rb") as file:
            with self._link.request(f"create {target}"):
                remote = self._sftp.open(str(target), "wx")
            sent = 0
            try:
                while data := file.read(_BLOCK):
                    with self._link.request(f"write {target}"):
                        remote.write(data)
                    sent += len(data)
                with self._link.request(f"write {target}"):
                    remote.chmod(stat.S_IMODE(mode))
                    size = remote.stat().st_size
                    remote.close()
            except ShellRefusedError as error:
                raise self._full(target, error) from error
        if size != sent:
            raise ShellRefusedError(f"cannot write {target}: it has {size} bytes, not {sent}")

    def _full(self, target: PurePosixPath, error: ShellRefusedError) -> ShellRefusedError:
        """Return the error of a write; SFTP has no number for a full disk (its draft 02, 7)."""
        directory = shlex.quote(str(target.parent))
        with contextlib.suppress(ShellError, ValueError, IndexError):
            run = CommandRun(self._link, None, (), _DF_SECONDS)
            line = run.run(f"df -Pk {directory}").stdout.splitlines()[-1]
            if int(line.split()[-3]) * 1024 < _BLOCK:
                return ShellRefusedError(f"{error}: no space left in the guest's {target.parent}")
        return error

    def _remove(self, path: PurePosixPath) -> None:
        """Remove what is left of a copy, if the guest lets us."""
        with contextlib.suppress(ShellError):
            CommandRun(self._link, None, (), _DF_SECONDS).run(f"rm -rf {shlex.quote(str(path))}")

    def _receive(self, source: PurePosixPath, parts: Parts, mode: int, tree: ReceivedTree) -> None:
        if stat.S_ISREG(mode):
            with tree.file(parts, executable=bool(mode & stat.S_IXUSR)) as write:
                for data in self._content(source):
                    write(data)
        elif stat.S_ISLNK(mode):
            with self._link.request(f"read the link {source}"):
                leads_to = self._sftp.readlink(str(source)) or ""
            tree.link(parts, leads_to)
        elif stat.S_ISDIR(mode):
            tree.directory(parts)
            entries: list[
                tuple[str, int]
            ] = []  # all, because a session can do nothing else while it lists
            for entry in self._entries(source):
                tree.require_room(len(entries))
                entries.append(entry)
            for name, below in entries:
                self._receive(source / name, (*parts, name), below, tree)
        else:
            raise tree.refuse_kind(parts, mode)

    def _content(self, source: PurePosixPath) -> Iterator[bytes]:
        with self._link.request(f"read {source}"):
            file = self._sftp.open(str(source), "r")
        try:
            while True:
                with self._link.request(f"read {source}"):
                    data = file.read(_BLOCK)
                if not data:
                    return
                yield data
        finally:
            with contextlib.suppress(ShellError), self._link.request("close a file"):
                file.close()

    def _entries(self, source: PurePosixPath) -> Iterator[tuple[str, int]]:
        found = self._sftp.listdir_iter(str(source), _READ_AHEADS)
        while True:
            with self._link.request(f"list {source}"):
                entry = next(found, None)
            if entry is None:
                return
            yield entry.filename, entry.st_mode or 0


def open_sftp(link: SshLink) -> SftpFiles:
    """Open an SFTP session.

    Raises:
        ShellRefusedError: the server has no SFTP.
        ShellError: the connection is lost.
    """
    channel = link.open_channel()
    try:
        with link.request("open an SFTP session"):
            channel.invoke_subsystem("sftp")
            sftp = paramiko.SFTPClient(channel)
        sftp.logger.disabled = True
        return SftpFiles(link, sftp)
    except BaseException:
        with contextlib.suppress(ShellError), link.request("close a session"):
            channel.close()
        raise


def staged_name(target: PurePosixPath) -> PurePosixPath:
    """Return the name under which a copy to ``target`` is made.

    Raises:
        UsageError: ``target`` has no last name.
    """
    if target.name in {"", ".."}:
        raise UsageError(f"cannot put a file as {target}", remedy="give the file's own name, too")
    return target.with_name(f".{target.name}.{unique()}.tmp")


def _error_number(error: ShellError) -> int | None:
    return getattr(error.__cause__, "errno", None)
