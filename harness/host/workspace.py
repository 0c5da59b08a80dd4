"""Paths, locks and atomic writes of the harness."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import platformdirs

from harness.errors import InfraError, UsageError
from harness.host.private import owned_directory, private_directory
from harness.host.seal import Verified


@dataclass(frozen=True, slots=True)
class Lock:
    """A held lock; a child that inherits ``fd`` holds it, too, until it ends."""

    path: Path
    fd: int


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directories of the harness.

    Args:
        cache: files that can be created again: toolchains, objects, kernels, images.
        state: records of runs.
        runtime: sockets and locks; removed by a reboot.
        verified: cached files whose SHA-256 this process has verified.
    """

    cache: Path
    state: Path
    runtime: Path
    verified: Verified = field(default_factory=Verified, compare=False, repr=False)

    @classmethod
    def of_user(cls) -> Workspace:
        """Return the user's directories by the XDG base directory specification."""
        return cls(
            cache=platformdirs.user_cache_path("harness"),
            state=platformdirs.user_state_path("harness"),
            runtime=_runtime_directory(),
        )

    def require_own(self) -> None:
        """Create cache and state if they are missing, and check their owner and mode.

        Raises:
            InfraError: a directory belongs to another user, or other users can write to it.
        """
        for path in (self.cache, self.state):
            owned_directory(path)

    def private_runtime(self) -> Path:
        """Return the runtime directory, created if it is missing; no other user can enter it.

        Raises:
            InfraError: it belongs to another user, is open to others, or cannot be created.
        """
        private_directory(self.runtime)
        return self.runtime

    @property
    def runs(self) -> Path:
        """The directory of records."""
        return self.state / "runs"

    @contextlib.contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """Create a temporary directory, which is removed at the end of the context.

        Directories of killed harnesses are removed by the next call: a directory is in use as long
        as a process holds its lock.
        """
        parent = self.cache / "scratch"
        make_directory(parent)
        directory = parent / f"{prefix}-{unique()}"
        guard = directory.with_name(directory.name + ".lock")
        with contextlib.ExitStack() as held:
            # Registered before anything is created, because of interrupts.
            held.callback(guard.unlink, missing_ok=True)
            held.callback(shutil.rmtree, directory, ignore_errors=True)
            # Under one lock, so that no other process removes a directory whose owner has not
            # locked it yet.
            with self.lock("scratch"):
                _sweep(parent)
                held.enter_context(self._hold(guard, _wait_silently))
                make_directory(directory)
            yield directory

    @contextlib.contextmanager
    def lock(self, name: str, waiting: Callable[[str], None] | None = None) -> Iterator[Lock]:
        """Hold a lock.

        Args:
            name: name of the lock's file.
            waiting: called once with the holder's process ID if another process holds it.

        Raises:
            InfraError: the lock's file cannot be created.
        """
        path = self.cache / "locks" / f"{name}.lock"
        make_directory(path.parent)
        with self._hold(path, waiting or _wait_silently) as lock:
            yield lock

    def holder(self, name: str) -> int | None:
        """Return the process that held a lock last; None if no process has ever held it."""
        try:
            return int((self.cache / "locks" / f"{name}.lock").read_text("ascii"))
        except (OSError, ValueError):
            return None

    @contextlib.contextmanager
    def _hold(self, path: Path, waiting: Callable[[str], None]) -> Iterator[Lock]:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise host_refused(path, error) from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "?")
                fcntl.flock(fd, fcntl.LOCK_EX)
            _sign(fd, path)
            yield Lock(path, fd)
        finally:
            # A child that inherited the descriptor keeps the lock until it ends.
            os.close(fd)


def note_holder(note: Callable[[str], None], doing: str) -> Callable[[str], None]:
    """Return a ``waiting`` of ``Workspace.lock`` that prints which process holds the lock, and why.

    Args:
        note: prints a line.
        doing: what the process does: ``is reading the same tree``.
    """
    return lambda holder: note(f"waiting for process {holder}, which {doing}")


def _runtime_directory() -> Path:
    """Return a short path, since that of a socket is limited to 107 bytes (unix(7))."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given:
        return Path(given) / "harness"
    return Path(tempfile.gettempdir()) / f"harness-{os.getuid()}"


def unique() -> str:
    """Return eight random hexadecimal digits for a unique name."""
    return os.urandom(4).hex()


def make_directory(path: Path) -> None:
    """Create a directory and its parents, unless it exists.

    Raises:
        InfraError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise host_refused(path, error) from error


def write_atomic(
    path: Path, data: bytes | str, *, synced: bool = True, mode: int = 0o666
) -> None:  # fmt: skip
    """Write a file atomically: it is complete or unchanged.

    Args:
        path: the file; its directory is created.
        data: what it contains from then on.
        synced: whether that holds after a crash of the host, too.
        mode: the file's mode from its beginning, without what the umask takes away.

    Raises:
        InfraError: the file cannot be written.
    """
    content = data.encode() if isinstance(data, str) else data
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{unique()}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb", opener=partial(os.open, mode=mode)) as file:
            file.write(content)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if synced:
            sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise host_refused(path, error) from error


def write_named(path: Path, data: bytes | str) -> None:
    """Write a file that the user named, which may be a device, a pipe or a link.

    A regular file is written atomically. Its directory is not created.

    Raises:
        InfraError: the file cannot be written, or its directory does not exist.
    """
    if path.is_file() or not path.exists():
        target = path.resolve() if path.is_symlink() else path
        if not target.parent.is_dir():
            raise host_refused(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        write_atomic(target, data)
        return
    content = data.encode() if isinstance(data, str) else data
    try:
        path.write_bytes(content)
    except OSError as error:
        raise host_refused(path, error) from error


def check_named(path: Path) -> None:
    """Check in advance that ``write_named`` can write a file.

    Raises:
        UsageError: the path is a directory, or its parent directory does not exist.
        InfraError: the file cannot be written.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.is_dir():
        raise UsageError(f"{path} is a directory", remedy="name a file")
    if not target.parent.is_dir():
        raise UsageError(
            f"cannot write {path}: there is no directory {target.parent}",
            remedy=f"create it: mkdir -p {shlex.quote(str(target.parent))}",
        )
    # A device or a pipe is written itself; a regular file is replaced by a new one.
    written = target if target.exists() and not target.is_file() else target.parent
    _check_writable(path, written)


def check_directory(path: Path) -> None:
    """Check that records can be written into a directory that the user named.

    Raises:
        UsageError: neither the directory nor its parent exists.
        InfraError: the directory cannot be written or created.
    """
    if not (path.is_dir() or path.parent.is_dir()):
        raise UsageError(
            f"cannot create {path}: there is no directory {path.parent}",
            remedy=f"create it: mkdir -p {shlex.quote(str(path))}",
        )
    _check_writable(path, path if path.is_dir() else path.parent)


def _check_writable(path: Path, written: Path) -> None:
    if not os.access(written, os.W_OK):
        try:
            read_only = os.statvfs(written).f_flag & os.ST_RDONLY
        except OSError as error:
            raise host_refused(path, error) from error
        code = errno.EROFS if read_only else errno.EACCES
        raise host_refused(path, OSError(code, os.strerror(code)))


def sync_directory(path: Path) -> None:
    """Sync the entries of a directory, so that a rename survives a crash (fsync(2)).

    Raises:
        OSError: the directory cannot be synced.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # not supported by the file system
            raise
    finally:
        os.close(fd)


def host_refused(path: Path, error: OSError) -> InfraError:
    """Return the error for a file operation that failed, with a remedy."""
    remedies = {
        errno.ENOSPC: "free disk space, for example: harness gc --limit 10G",
        errno.EDQUOT: "free some of your quota, for example: harness gc --limit 10G",
        errno.EACCES: f"check the permissions: ls -ld {shlex.quote(str(path.parent))}",
        errno.EROFS: "use a writable file system: set XDG_CACHE_HOME and XDG_STATE_HOME",
    }
    return InfraError(
        f"cannot write {path}: {error.strerror}",
        remedy=remedies.get(error.errno or 0, f"check the file: ls -l {shlex.quote(str(path))}"),
    )


def host_error(error: OSError) -> InfraError:
    """Return the error for a failed operation on the file that ``error`` names."""
    return host_refused(Path(str(error.filename2 or error.filename or "a file")), error)


def _sign(fd: int, path: Path) -> None:
    """Write this process's ID into a lock's file."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise host_refused(path, error) from error


def _wait_silently(holder: str) -> None:
    """Print nothing while another process holds a lock."""


def _sweep(parent: Path) -> None:
    """Remove scratch directories whose owners have ended."""
    for lock in parent.glob("*.lock"):
        with contextlib.suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            directory = lock.with_suffix("")
            shutil.rmtree(directory, ignore_errors=True)
            # Children of the owner may still write there: then a later call removes it.
            if not directory.exists():
                lock.unlink(missing_ok=True)
