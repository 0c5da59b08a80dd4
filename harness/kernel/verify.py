"""Verification of a kernel's files, before a guest starts and before it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.host.seal import Seal, Verified, damage
from harness.host.sealedstore import DamageError
from harness.host.workspace import host_refused, make_directory
from harness.kernel.artifact import DEBUG, KERNEL, LOADER, KernelArtifact


class KernelDamageError(DamageError):
    """A file of a kernel is damaged, so the outcome says nothing about the kernel."""


class ChangedFileError(KernelDamageError):
    """A file of a kernel was found damaged or changed after a guest ran."""


def private_copy(kernel: KernelArtifact, directory: Path, verified: Verified) -> KernelArtifact:
    """Return the kernel with verified copies of all files that a guest boots from.

    Later changes of the originals do not affect the guest.

    Args:
        kernel: the kernel.
        directory: directory for the copies, which is created.
        verified: files that need not be read again.

    Raises:
        KernelDamageError: a file is damaged.
        InfraError: a copy cannot be written.
    """
    make_directory(directory)
    paths = kernel.paths()
    seals = {seal.name: seal for seal in kernel.identity.files}
    copies = {
        name: _copied(path, directory / name, seals.get(name), verified)
        for name, path in paths.items()
        if name != DEBUG
    }
    return replace(
        kernel,
        kernel=copies[KERNEL],
        loader=copies.get(LOADER),
        modules={part: copies[path.name] for part, path in kernel.modules.items()},
        loadable={part: copies[path.name] for part, path in kernel.loadable.items()},
    )


@dataclass(frozen=True, slots=True)
class BootedFiles:
    """The files that a guest was booted from.

    Args:
        kernels: the kernel, and the guest's copy of it.
        media: the files that the guest reads, with their status before it was started.
    """

    kernels: tuple[KernelArtifact, ...]
    media: Mapping[Path, tuple[int, ...]]

    @classmethod
    def of(cls, kernels: tuple[KernelArtifact, ...], top: Path) -> BootedFiles:
        """Return the files of a guest, with their status before it is started.

        Args:
            kernels: the kernel, and the guest's copy of it.
            top: the file or directory that the guest reads.
        """
        return cls(kernels, {path: _status_of(path) for path in _files(top)})

    def verify(self) -> None:
        """Verify all files by their hashes, before a failure counts against the kernel.

        Raises:
            ChangedFileError: a file is damaged or was changed.
        """
        for kernel in self.kernels:
            for path, seal in kernel.sealed():
                _require(path, damage(path, seal), ChangedFileError)
        self.verify_unchanged()

    def verify_unchanged(self) -> None:
        """Check that the guest's files are unchanged since its start, before a boot counts.

        Raises:
            ChangedFileError: a file was replaced or written.
        """
        for path, status in self.media.items():
            changed = _status_of(path) != status
            _require(path, "it changed after it was verified" if changed else "", ChangedFileError)


def _copied(source: Path, target: Path, seal: Seal | None, verified: Verified) -> Path:
    if seal is None:  # a file without a seal, such as one of the user
        return source
    try:
        wrong = verified.copy(source, target, seal)
    except OSError as error:
        raise host_refused(target, error) from error
    _require(source, wrong)
    return target


def _files(top: Path) -> list[Path]:
    return [path for path in (top, *top.rglob("*")) if path.is_file()]


def _status_of(path: Path) -> tuple[int, ...]:
    """Return the status without the time of change, as libvirt changes the owners of files."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _require(path: Path, wrong: str, error: type[KernelDamageError] = KernelDamageError) -> None:
    if wrong:
        raise error(
            f"{path} is damaged: {wrong}",
            remedy="run the command again; damaged files of the cache are built again",
        )
