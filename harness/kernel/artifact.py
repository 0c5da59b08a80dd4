"""A built kernel with all that boots it, and the cache of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.host.inuse import in_use
from harness.host.workspace import Workspace, host_refused, make_folder, unique, write_atomic
from harness.kernel.spec import Sanitizer

_IDENTITY = "identity.json"

#: ``--source`` of the built-in guest.
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class KernelIdentity:
    """What a kernel was made from; stands in every record.

    Args:
        key: of the cache; equal keys mean equal kernels.
        source: where the tree is, as the user named it.
        label: the revision and what is changed on top, for people.
        commit: the revision; None where there is none.
        tree: git's hash of all that was checked out.
        dirty: uncommitted changes are in it.
        patch: hash of the patch on top, if any.
        mutant: its name, if any.
        release: such as 13.2-RELEASE.
        kernconf: the configuration's name.
        sanitizer: none, kasan or kmsan.
        compiler: the first line of its ``--version``.
        source_roots: the folders that its debug symbols name for the tree's top.
        reserve_fallback: see ``harness.source.forms.SlabForm``; None where nothing is known.
        advances_first: the same.
        masked: the same.
        assumed: where these were taken from, if not from the kernel's own source; see
            ``harness.source.revision.Snapshot``.
        reserve_at_boot: the boot allocates kernel map entries from the reserve; FreeBSD
            does where a sanitizer takes the direct map away.
    """

    key: str
    source: str
    label: str
    commit: str | None
    tree: str
    dirty: bool
    patch: str | None
    mutant: str | None
    release: str
    kernconf: str
    sanitizer: Sanitizer
    compiler: str
    source_roots: tuple[str, ...] = ()
    reserve_fallback: bool | None = None
    advances_first: bool | None = None
    masked: bool | None = None
    assumed: str = ""
    reserve_at_boot: bool = False

    @property
    def is_freebsd(self) -> bool:
        """Whether it is FreeBSD's, not the built-in guest's."""
        return self.source != EMBEDDED

    @property
    def guest(self) -> str:
        """What boots it, for every line and record, so that no guest is taken for another."""
        if not self.is_freebsd:
            return "built-in guest (not FreeBSD)"
        return f"FreeBSD {self.release}"


@dataclass(frozen=True, slots=True)
class KernelArtifact:
    """The files of a built kernel.

    Args:
        identity: what it was made from.
        kernel: the ELF file that boots.
        debug: an ELF file with its symbols and line tables; may be ``kernel`` itself.
        loader: FreeBSD's EFI loader; None for the built-in guest, and where there is none yet.
        module: what ``harness check`` talks to; None if it was not built, or is in the kernel.
    """

    identity: KernelIdentity
    kernel: Path
    debug: Path
    loader: Path | None
    module: Path | None = None


@contextlib.contextmanager
def kept(kernel: KernelArtifact, workspace: Workspace) -> Iterator[None]:
    """Keep a kernel's files from being removed from the cache while they are needed.

    Raises:
        InfraError: they are not there any more.
    """
    files = (kernel.kernel, kernel.debug, *([kernel.loader] if kernel.loader else []))
    cached = {file.parent for file in files if file.is_relative_to(workspace.cache)}
    with contextlib.ExitStack() as held:
        for folder in sorted(cached):
            held.enter_context(in_use(folder))
        yield


class KernelCache:
    """Built kernels by key, in the workspace's cache."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.cache / "kernels"

    def find(self, key: str) -> KernelArtifact | None:
        """The kernel with that key, if it is there whole."""
        folder = self._folder / key
        try:
            data = json.loads((folder / _IDENTITY).read_text())
            data["sanitizer"] = Sanitizer(data["sanitizer"])
            data["source_roots"] = tuple(data.get("source_roots", ()))
            identity = KernelIdentity(**data)
        except (OSError, ValueError, KeyError, TypeError):
            # Not there, damaged, or kept by a harness that knew other things of kernels.
            return None
        return _artifact(folder, identity)

    def newest_loader(self) -> Path | None:
        """The loader that was built last, whatever its tree."""
        loaders = self._folder.glob("[!.]*/loader.efi")
        return max(loaders, key=lambda path: path.stat().st_mtime, default=None)

    def store(self, identity: KernelIdentity, files: dict[str, Path]) -> KernelArtifact:
        """Keep copies of ``files`` (``kernel``, ``kernel.debug``, ``loader.efi``, ``config``).

        Raises:
            InfraError: the disk is full, or the folder not writable.
        """
        folder = self._folder / identity.key
        # Filled under another name: a folder with the right name is whole.
        filling = self._folder / f".{identity.key}.{unique()}"
        make_folder(filling)
        try:
            with in_use(filling):
                for name, path in files.items():
                    shutil.copyfile(path, filling / name)
                write_atomic(filling / _IDENTITY, json.dumps(asdict(identity), indent=1) + "\n")
                shutil.rmtree(folder, ignore_errors=True)
                filling.rename(folder)
        except OSError as error:
            raise host_refused(folder, error) from error
        finally:
            shutil.rmtree(filling, ignore_errors=True)
        return _artifact(folder, identity)

    def add_module(self, kernel: KernelArtifact, module: Path) -> KernelArtifact:
        """Keep a copy of the kernel's check module beside it.

        Raises:
            InfraError: the disk is full, or the folder not writable.
        """
        from harness.kernel.module import module_file

        target = kernel.kernel.parent / module_file()
        filling = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            shutil.copyfile(module, filling)
            filling.rename(target)
        except OSError as error:
            raise host_refused(target, error) from error
        finally:
            filling.unlink(missing_ok=True)
        return replace(kernel, module=target)


def _artifact(folder: Path, identity: KernelIdentity) -> KernelArtifact:
    from harness.kernel.module import module_file

    debug, loader = folder / "kernel.debug", folder / "loader.efi"
    module = folder / module_file()
    return KernelArtifact(
        identity=identity,
        kernel=folder / "kernel",
        debug=debug if debug.is_file() else folder / "kernel",
        loader=loader if loader.is_file() else None,
        module=module if module.is_file() else None,
    )
