"""Every path, lock and atomic write of the harness."""

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
from pathlib import Path

import platformdirs

from harness.errors import InfraError, UsageError
from harness.host.private import owned_directory, private_directory
from harness.host.seal import Verified


@dataclass(frozen=True, slots=True)
class Lock:
    """A held lock; a child that inherits ``fd`` keeps it held after we die."""

    path: Path
    fd: int


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders that the harness owns.

    Args:
        cache: what can be made again: toolchains, objects, kernels, guests' images.
        state: what cannot: records of runs.
        runtime: sockets and locks; gone after a reboot.
        verified: the cached files that this process has compared with their SHA-256.
    """

    cache: Path
    state: Path
    runtime: Path
    verified: Verified = field(default_factory=Verified, compare=False, repr=False)

    @classmethod
    def of_user(cls) -> Workspace:
        """The user's own folders, after the XDG base directory specification."""
        return cls(
            cache=platformdirs.user_cache_path("harness"),
            state=platformdirs.user_state_path("harness"),
            runtime=_runtime_folder(),
        )

    def require_own(self) -> None:
        """See that the cache and the state are the user's own, and make those that are missing.

        Raises:
            InfraError: one belongs to another user, or others can write to it.
        """
        for path in (self.cache, self.state):
            owned_directory(path)

    def private_runtime(self) -> Path:
        """The runtime directory, made if it is missing; no other user can enter it.

        Raises:
            InfraError: it is another user's, open to others, or cannot be made.
        """
        private_directory(self.runtime)
        return self.runtime

    @property
    def runs(self) -> Path:
        """The folder of records."""
        return self.state / "runs"

    @contextlib.contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """A temporary folder, removed on every way out.

        What a killed harness left behind is swept by the next call: a folder is in
        use as long as somebody holds its lock.
        """
        parent = self.cache / "scratch"
        make_folder(parent)
        folder = parent / f"{prefix}-{unique()}"
        guard = folder.with_name(folder.name + ".lock")
        with contextlib.ExitStack() as held:
            # Before there is anything to remove: Ctrl-C may come right after.
            held.callback(guard.unlink, missing_ok=True)
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            # Made and swept under one lock, so that nobody sweeps a folder whose
            # owner has not locked it yet.
            with self.lock("scratch"):
                _sweep(parent)
                held.enter_context(self._hold(guard, _say_nothing))
                make_folder(folder)
            yield folder

    @contextlib.contextmanager
    def lock(self, name: str, waiting: Callable[[str], None] | None = None) -> Iterator[Lock]:
        """Hold the lock called ``name``.

        Args:
            name: of the lock's file.
            waiting: told the holder's process id, once, if another holds it.

        Raises:
            InfraError: the lock's file cannot be made.
        """
        path = self.cache / "locks" / f"{name}.lock"
        make_folder(path.parent)
        with self._hold(path, waiting or _say_nothing) as lock:
            yield lock

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
            # Closing drops the lock unless a child of ours still holds the same
            # open file: then it lasts until that child has ended, as it must.
            os.close(fd)


def _runtime_folder() -> Path:
    """A short path, since a socket's may have 107 bytes only (see unix(7))."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given:
        return Path(given) / "harness"
    return Path(tempfile.gettempdir()) / f"harness-{os.getuid()}"


def unique() -> str:
    """Eight digits for a name that nobody else takes."""
    return os.urandom(4).hex()


def make_folder(path: Path) -> None:
    """Make ``path`` and its parents.

    Raises:
        InfraError: the host does not let us.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise host_refused(path, error) from error


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that it is there whole or not at all, whatever ends us or the host.

    Raises:
        InfraError: the disk is full or the folder not writable.
    """
    content = data.encode() if isinstance(data, str) else data
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise host_refused(path, error) from error


def write_named(path: Path, data: bytes | str) -> None:
    """The same for a file that the user named, which may be a device, a pipe or a link.

    Its directory is not made.

    Raises:
        InfraError: as ``write_atomic``, or there is no such directory.
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
    """Whether ``write_named`` can be expected to work, before there is anything to write.

    Raises:
        UsageError: it is a directory, or its own directory does not exist.
        InfraError: the host does not let us write there.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.is_dir():
        raise UsageError(f"{path} is a directory", remedy="name a file")
    if not target.parent.is_dir():
        raise UsageError(
            f"cannot write {path}: there is no directory {target.parent}",
            remedy=f"make it: mkdir -p {shlex.quote(str(target.parent))}",
        )
    # A device or a pipe is written as it is; a file is replaced by a new one.
    place = target if target.exists() and not target.is_file() else target.parent
    _check_writable(path, place)


def check_folder(path: Path) -> None:
    """Whether records can be put into a directory that the user named; it may be missing itself.

    Raises:
        UsageError: the directory that it would be made in does not exist, or is none.
        InfraError: the host does not let us write there.
    """
    if not (path.is_dir() or path.parent.is_dir()):
        raise UsageError(
            f"cannot make {path}: there is no directory {path.parent}",
            remedy=f"make it: mkdir -p {shlex.quote(str(path))}",
        )
    _check_writable(path, path if path.is_dir() else path.parent)


def _check_writable(path: Path, place: Path) -> None:
    if not os.access(place, os.W_OK):
        try:
            read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        except OSError as error:
            raise host_refused(path, error) from error
        code = errno.EROFS if read_only else errno.EACCES
        raise host_refused(path, OSError(code, os.strerror(code)))


def sync_folder(path: Path) -> None:
    """Have the names in a directory on disk, so that a rename lasts; see fsync(2).

    Raises:
        OSError: the disk failed.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(fd)


def host_refused(path: Path, error: OSError) -> InfraError:
    """The error for a file operation that the host refused, with a remedy."""
    remedies = {
        errno.ENOSPC: "free some space (harness gc removes old kernels), then run it again",
        errno.EDQUOT: "free some of your quota, then run it again",
        errno.EACCES: "give yourself the right to write there",
        errno.EROFS: "choose a folder on a writable file system with XDG_CACHE_HOME",
    }
    return InfraError(
        f"cannot write {path}: {error.strerror}",
        remedy=remedies.get(error.errno or 0, "see the cause above"),
    )


def host_error(error: OSError) -> InfraError:
    """The same where only the error tells of which file, or of which copy (``shutil``)."""
    return host_refused(Path(str(error.filename2 or error.filename or "a file")), error)


def _sign(fd: int, path: Path) -> None:
    """Write into a lock whose it is."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise host_refused(path, error) from error


def _say_nothing(holder: str) -> None:
    """Wait for ``holder`` without a word."""


def _sweep(parent: Path) -> None:
    """Remove scratch folders whose owner is gone."""
    for lock in parent.glob("*.lock"):
        with contextlib.suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = lock.with_suffix("")
            shutil.rmtree(folder, ignore_errors=True)
            # What its owner had started may still write there: then the next sweep has it.
            if not folder.exists():
                lock.unlink(missing_ok=True)
