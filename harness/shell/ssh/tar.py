"""Files to and from a guest without SFTP: by tar(1) and cat(1) over a session."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from harness.shell.received import Parts, ReceivedTree, ReceiveLimits
from harness.shell.shell import Completed, ShellDataError, ShellError, ShellRefusedError
from harness.shell.ssh.command import CommandRun
from harness.shell.ssh.files import staged_name

if TYPE_CHECKING:
    from harness.shell.ssh.link import SshLink

_BLOCK: Final = 1 << 16
_MOST_HEADER: Final = 1 << 20
_COMMAND_SECONDS: Final = 120.0

_GET: Final = (
    "if [ -d {source} ]; then printf d; exec tar -cf - -C {source} .; fi; "
    "[ -f {source} ] || {{ ls -d {source} >/dev/null && echo 'not a file or a directory' >&2; "
    "exit 1; }}; if [ -x {source} ]; then printf x; else printf f; fi; exec cat {source}"
)
_EXISTS: Final = (
    "if [ -d {target} ] || {{ {directory} && [ -e {target} ]; }}; "
    "then echo 'it exists in the guest' >&2; exit 1; fi"
)


class TarFiles:
    """Copies files by commands.

    Args:
        link: the connection.
    """

    def __init__(self, link: SshLink) -> None:
        self._link = link

    def put(self, source: Path, target: PurePosixPath) -> None:
        """See ``Shell``; the target appears when it is complete."""
        status = source.stat()
        directory = stat.S_ISDIR(status.st_mode)
        stage, final = (shlex.quote(str(path)) for path in (staged_name(target), target))
        self._command(
            _EXISTS.format(target=final, directory="true" if directory else "false"), target
        )
        try:
            if directory:
                words = f"mkdir {stage} && exec tar -xf - -C {stage}"
                self._command(words, target, archive(source))
            else:
                mode = f"{stat.S_IMODE(status.st_mode):o}"
                words = f"cat >{stage} && chmod {mode} {stage}"
                self._command(words, target, _content(source))
            # A command of its own: what has lost its connection reads the end of its input.
            self._command(f"mv -f {stage} {final}", target)
        except BaseException:
            with contextlib.suppress(ShellError):
                self._command(f"rm -rf {stage}", target)
            raise

    def get(self, source: PurePosixPath, target: Path, limits: ReceiveLimits) -> None:
        """See ``Shell``."""
        run = CommandRun(self._link, None, (), None)
        output = _Output(run, _GET.format(source=shlex.quote(str(source))))
        with ReceivedTree(source, target, limits) as tree, contextlib.closing(output):
            kind = output.read(1)
            if kind == b"d":
                _unpack(output, tree)
            elif kind:
                with tree.file((), executable=kind == b"x") as write:
                    while data := output.read(_BLOCK):
                        write(data)
            output.finish()
            _require(run.completed, f"read {source}", output.errors)
            tree.finish()

    def close(self) -> None:
        """Do nothing: each command has its own session."""

    def _command(self, words: str, target: PurePosixPath, stdin: Iterable[bytes] = ()) -> None:
        timeout = None if stdin else _COMMAND_SECONDS
        completed = CommandRun(self._link, None, stdin, timeout).run(words)
        _require(completed, f"write {target}", completed.stderr)


def _require(completed: Completed, doing: str, stderr: bytes) -> None:
    if not completed.succeeded:
        lines = stderr.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else f"exit status {completed.status}{completed.signal}"
        raise ShellRefusedError(f"cannot {doing}: {why}")


class _Output:
    """A command's standard output as a file, for tarfile."""

    def __init__(self, run: CommandRun, command: str) -> None:
        self._pieces = run.stream(command)
        self._data = b""
        self.errors = b""
        self.header_left: int | None = None

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes; fewer only at the end.

        Raises:
            ShellDataError: an archive's header exceeds 1 MiB.
        """
        if self.header_left is not None:
            self.header_left -= size
            if self.header_left < 0:
                raise ShellDataError("the guest's archive has a header of more than 1 MiB")
        parts = []
        while size > 0 and (self._data or self._next()):
            parts.append(self._data[:size])
            self._data = self._data[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def finish(self) -> None:
        """Read the rest."""
        self.header_left = None
        while self._next():
            self._data = b""

    def close(self) -> None:
        """End the command."""
        self._pieces.close()  # type: ignore[attr-defined]

    def _next(self) -> bool:
        for number, data in self._pieces:
            if number == 0:
                self._data = data
                return True
            self.errors = (self.errors + data)[-_BLOCK:]
        return False


def _unpack(output: _Output, tree: ReceivedTree) -> None:
    stream: Any = output
    output.header_left = _MOST_HEADER
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in _members(tar, output):
                _take(tar, member, tree)
    except (tarfile.TarError, ValueError, UnicodeError, OverflowError) as error:
        raise ShellDataError(f"the guest's archive is damaged: {error}") from error


def _members(tar: tarfile.TarFile, output: _Output) -> Iterator[tarfile.TarInfo]:
    while True:
        output.header_left = _MOST_HEADER
        member = tar.next()
        kept: Any = tar
        kept.members = []  # which would grow
        output.header_left = None
        if member is None:
            return
        yield member


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: ReceivedTree) -> None:
    parts = _parts(member.name)
    if member.isdir():
        tree.directory(parts)
    elif member.issym():
        tree.link(parts, member.linkname)
    elif member.isreg():
        content = tar.extractfile(member)
        with tree.file(parts, executable=bool(member.mode & stat.S_IXUSR)) as write:
            while content is not None and (data := content.read(_BLOCK)):
                write(data)
    elif member.islnk():
        tree.second_name(parts, _parts(member.linkname))
    else:
        raise tree.refuse_kind(parts, 0)


def _parts(name: str) -> Parts:
    return tuple(part for part in name.split("/") if part != ".")


def archive(source: Path) -> Iterator[bytes]:
    """Generate a tar archive of what a directory contains.

    Raises:
        OSError: a file cannot be read, or has changed meanwhile.
    """
    for path in _walk(source):
        info = tarfile.TarInfo(path.relative_to(source).as_posix())
        status = path.lstat()
        info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(status.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            info.size = status.st_size
        else:
            raise OSError(errno.EINVAL, "not a file, a directory or a link", str(path))
        yield info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
        if info.isreg():
            with path.open("rb") as file:
                yield from _padded(file, info.size, path)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _padded(file: IO[bytes], size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left > 0:
        data = file.read(min(_BLOCK, left))
        if not data:
            raise OSError(errno.EIO, "has become shorter while it was read", str(path))
        left -= len(data)
        yield data
    yield bytes(-size % tarfile.BLOCKSIZE)


def _walk(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _content(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(_BLOCK):
            yield data
