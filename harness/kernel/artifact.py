"""A built kernel with all that boots it, and the cache of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.host.documents import read_object
from harness.host.inuse import in_use
from harness.host.sealed import DamageError, add, check, store
from harness.sanitizers import Sanitizers, parse_sanitizers
from harness.source.knowledge import Facts

if TYPE_CHECKING:
    from harness.host.progress import Progress
    from harness.host.seal import Seal
    from harness.host.workspace import Workspace

_IDENTITY = "identity.json"

#: Names of a kernel's files, and of their seals.
KERNEL, DEBUG, LOADER = "kernel", "kernel.debug", "loader.efi"


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
        sanitizer: those that it has, as one set.
        options: on top of the configuration, as ``--option`` takes them.
        compiler: the first line of its ``--version``.
        source_roots: the folders that its debug symbols name for the tree's top.
        facts: of its code, by subsystem.
        files: size and SHA-256 of each of its files.
        is_freebsd: it is FreeBSD's, which a loader can start; not the built-in guest's.
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
    sanitizer: Sanitizers
    compiler: str
    source_roots: tuple[str, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)
    files: tuple[Seal, ...] = ()
    is_freebsd: bool = True
    options: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """It as JSON's types; ``sanitizer`` is the text of the set."""
        return {**asdict(self), "sanitizer": str(self.sanitizer)}

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
        modules: what ``harness check`` talks to, by subsystem; those that were built.
        remake: provides it anew if it turns out to be damaged; None for a file of the user's.
    """

    identity: KernelIdentity
    kernel: Path
    debug: Path
    loader: Path | None
    modules: Mapping[str, Path] = field(default_factory=dict)
    remake: Callable[[Progress], KernelArtifact] | None = field(
        default=None, compare=False, repr=False
    )

    def paths(self) -> dict[str, Path]:
        """Where its files are, by the names of their seals."""
        named = {KERNEL: self.kernel, LOADER: self.loader, DEBUG: self.debug}
        named |= {path.name: path for path in self.modules.values()}
        return {name: path for name, path in named.items() if path is not None}

    def sealed(self) -> list[tuple[Path, Seal]]:
        """Those of its files whose content is known, with their seals."""
        paths = self.paths()
        return [(paths[seal.name], seal) for seal in self.identity.files if seal.name in paths]


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
        self._verified = workspace.verified

    def find(self, key: str, damaged: Callable[[str], None]) -> KernelArtifact | None:
        """The kernel with that key, if it is there and is what was stored.

        Args:
            key: of the cache.
            damaged: told why a kernel that is there is not taken.
        """
        folder = self._folder / key
        try:
            seals = check(folder, self._verified)
            return _artifact(folder, _read_identity(folder / _IDENTITY, key), seals)
        except FileNotFoundError:
            return None
        except DamageError as damage:
            cause = damage.message
        except (OSError, ValueError, KeyError, TypeError) as error:
            cause = f"{folder}: {_IDENTITY}: {error}"
        damaged(cause)
        return None

    def newest_loader(self) -> tuple[Path, Seal] | None:
        """The loader that was built last, whatever its tree; one that is damaged is left out."""
        loaders = self._folder.glob(f"[!.]*/{LOADER}")
        for path in sorted(loaders, key=lambda path: path.stat().st_mtime, reverse=True):
            with contextlib.suppress(FileNotFoundError, DamageError):
                seal = check(path.parent, self._verified).get(LOADER)
                if seal is not None:
                    return path, seal
        return None

    def store(self, identity: KernelIdentity, files: Mapping[str, Path]) -> KernelArtifact:
        """Keep copies of ``files`` (``kernel``, ``kernel.debug``, ``loader.efi``, ``config``).

        Raises:
            InfraError: the disk is full, or the directory not writable.
        """
        folder = self._folder / identity.key
        # What most kernels have is not there, as it always was.
        left_out = {"files", *(["is_freebsd"] if identity.is_freebsd else [])}
        left_out |= set() if identity.options else {"options"}
        kept = {name: value for name, value in identity.document().items() if name not in left_out}
        seals = store(folder, files, {_IDENTITY: json.dumps(kept, indent=1) + "\n"})
        return _artifact(folder, identity, seals)

    def add_module(self, kernel: KernelArtifact, subsystem: str, module: Path) -> KernelArtifact:
        """Keep a copy of the kernel's check module for a subsystem beside it.

        Raises:
            InfraError: the disk is full, or the directory not writable.
        """
        from harness.kernel.module import module_file

        folder = kernel.kernel.parent
        seals = {seal.name: seal for seal in kernel.identity.files}
        seals = add(folder, module_file(subsystem), module, seals)
        return _artifact(folder, kernel.identity, seals)


def rebuilding(note: Callable[[str], None]) -> Callable[[str], None]:
    """Tells people, by ``note``, of a cached kernel that is damaged."""
    return lambda cause: note(f"a cached kernel cannot be used and is built again: {cause}")


def _read_identity(path: Path, key: str) -> KernelIdentity:
    """Raises ValueError, KeyError, TypeError or OSError: it is damaged, or of another version."""
    data = read_object(path)
    try:
        data["sanitizer"] = parse_sanitizers(data["sanitizer"])
    except UsageError as error:
        raise ValueError(error.message) from error
    data["source_roots"] = tuple(data.get("source_roots", ()))
    data["options"] = tuple(data.get("options", ()))
    data["facts"] = {name: Facts(**facts) for name, facts in data["facts"].items()}
    identity = KernelIdentity(**data)
    if identity.key != key:
        raise ValueError(f"it is the kernel {identity.key}")
    return identity


def _artifact(folder: Path, identity: KernelIdentity, seals: Mapping[str, Seal]) -> KernelArtifact:
    from harness.kernel.module import modules_among

    def sealed(name: str) -> Path | None:
        return folder / name if name in seals else None

    return KernelArtifact(
        identity=replace(identity, files=tuple(seals.values())),
        kernel=folder / KERNEL,
        debug=sealed(DEBUG) or folder / KERNEL,
        loader=sealed(LOADER),
        modules={part: folder / name for part, name in modules_among(seals).items()},
    )
