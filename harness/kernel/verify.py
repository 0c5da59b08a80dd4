"""Holds the files of a kernel to their seals, before a guest starts and before it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.host.seal import Seal, Verified, damage
from harness.host.sealed import DamageError
from harness.host.workspace import host_refused, make_folder
from harness.kernel.artifact import DEBUG, KERNEL, LOADER, KernelArtifact


class KernelDamageError(DamageError):
    """A kernel's file is not what was built; nothing follows for the kernel."""


class ChangedFileError(KernelDamageError):
    """The same, found after a guest had run."""


def private_copy(kernel: KernelArtifact, directory: Path, verified: Verified) -> KernelArtifact:
    """The same kernel with copies of all that a guest boots from, verified.

    What happens to the originals afterwards does not reach the guest.

    Args:
        kernel: the kernel.
        directory: for the copies; made here.
        verified: what need not be read once more.

    Raises:
        KernelDamageError: a file is not what was built.
        InfraError: the disk is full.
    """
    make_folder(directory)
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
    )


@dataclass(frozen=True, slots=True)
class BootedFiles:
    """The files that one guest was booted from.

    Args:
        kernels: the kernel, and the copy of it that the guest has.
        media: what the guest reads, with the status of each before it was started.
    """

    kernels: tuple[KernelArtifact, ...]
    media: Mapping[Path, tuple[int, ...]]

    @classmethod
    def of(cls, kernels: tuple[KernelArtifact, ...], top: Path) -> BootedFiles:
        """Note the files of a guest that is about to start.

        Args:
            kernels: see the class.
            top: the file or directory that the guest reads.
        """
        return cls(kernels, {path: _status_of(path) for path in _files(top)})

    def verify(self) -> None:
        """Hold all of them to what was built, before a failure counts against the kernel.

        Raises:
            ChangedFileError: one is not what was built.
        """
        for kernel in self.kernels:
            for path, seal in kernel.sealed():
                _require(path, damage(path, seal), ChangedFileError)
        self.verify_unchanged()

    def verify_unchanged(self) -> None:
        """See that the guest has read what was verified before, before a boot counts as a pass.

        Raises:
            ChangedFileError: a file was exchanged or written since.
        """
        for path, status in self.media.items():
            changed = _status_of(path) != status
            _require(path, "it changed after it was verified" if changed else "", ChangedFileError)


def _copied(source: Path, target: Path, seal: Seal | None, verified: Verified) -> Path:
    if seal is None:  # of a file that nobody has sealed, such as one of the user's
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
    """Without the time of change: libvirt gives files to other owners."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _require(path: Path, wrong: str, error: type[KernelDamageError] = KernelDamageError) -> None:
    if wrong:
        raise error(
            f"{path} is not what was built: {wrong}",
            remedy="run it again: what the harness has built is built again",
        )
