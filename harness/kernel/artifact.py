"""Built kernels and their cache."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.host.inuse import in_use
from harness.host.jsontoml import read_object
from harness.host.seal import Seal  # noqa: TC001 - the identity's types are read when it runs
from harness.host.sealedstore import DamageError, add, check, store
from harness.sanitizers import Sanitizers, parse_sanitizers
from harness.source.codefacts import Facts

if TYPE_CHECKING:
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace

_IDENTITY = "identity.json"

#: Names of a kernel's files, and of their seals.
KERNEL, DEBUG, LOADER = "kernel", "kernel.debug", "loader.efi"


@dataclass(frozen=True, slots=True)
class KernelIdentity:
    """What a kernel was built from; part of every record.

    Args:
        key: key in the cache; equal keys mean equal kernels.
        source: the tree, as the user named it.
        label: short name of the revision and its changes.
        commit: the revision; None if there is none.
        tree: git's hash of all files that were checked out.
        dirty: whether it contains uncommitted changes.
        patch: hash of the patch, or None.
        mutant: name of the mutant, or None.
        release: the release, such as 13.2-RELEASE.
        kernconf: name of the configuration.
        sanitizer: the set of its sanitizers.
        options: options that were added to or removed from it, in the form of ``--option``.
        compiler: the first line of the compiler's ``--version``.
        source_roots: directories that its debug symbols name as the top of the tree.
        facts: facts of its code, by subsystem.
        files: size and SHA-256 of each file.
        is_freebsd: whether it is a FreeBSD kernel, not that of the built-in guest.
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
        """Return the identity as a JSON document, in which ``sanitizer`` is a string."""
        return {**asdict(self), "sanitizer": str(self.sanitizer)}

    @property
    def guest(self) -> str:
        """FreeBSD and its release, or the built-in guest; printed in every report and record."""
        if not self.is_freebsd:
            return "built-in guest (not FreeBSD)"
        return f"FreeBSD {self.release}"


@dataclass(frozen=True, slots=True)
class KernelArtifact:
    """The files of a built kernel.

    Args:
        identity: what it was built from.
        kernel: the ELF file that boots.
        debug: an ELF file with its symbols and line tables; may be ``kernel`` itself.
        loader: FreeBSD's EFI loader; None for the built-in guest, or if it is not built.
        modules: the check modules that were built, by subsystem.
        loadable: the tree's modules that were built, by their names below sys/modules.
        remake: builds it again if it is damaged; None for a file of the user.
    """

    identity: KernelIdentity
    kernel: Path
    debug: Path
    loader: Path | None
    modules: Mapping[str, Path] = field(default_factory=dict)
    loadable: Mapping[str, Path] = field(default_factory=dict)
    remake: Callable[[Progress], KernelArtifact] | None = field(
        default=None, compare=False, repr=False
    )

    def has_modules(self, checks: Iterable[str], loadable: Iterable[str]) -> bool:
        """Return whether it has these check modules, and these modules of its tree."""
        return self.modules.keys() >= set(checks) and self.loadable.keys() >= set(loadable)

    def paths(self) -> dict[str, Path]:
        """Return the paths of its files, by the names of their seals."""
        named = {KERNEL: self.kernel, LOADER: self.loader, DEBUG: self.debug}
        named |= {path.name: path for path in (*self.modules.values(), *self.loadable.values())}
        return {name: path for name, path in named.items() if path is not None}

    def sealed(self) -> list[tuple[Path, Seal]]:
        """Return the files that have seals, with these."""
        paths = self.paths()
        return [(paths[seal.name], seal) for seal in self.identity.files if seal.name in paths]


@contextlib.contextmanager
def kept(kernel: KernelArtifact, workspace: Workspace) -> Iterator[None]:
    """Keep a kernel's files from being removed from the cache within the context.

    Raises:
        InfraError: they were removed.
    """
    files = (kernel.kernel, kernel.debug, *([kernel.loader] if kernel.loader else []))
    cached = {file.parent for file in files if file.is_relative_to(workspace.cache)}
    with contextlib.ExitStack() as held:
        for directory in sorted(cached):
            held.enter_context(in_use(directory))
        yield


class KernelCache:
    """The cache of built kernels, by key."""

    def __init__(self, workspace: Workspace) -> None:
        self._directory = workspace.cache / "kernels"
        self._verified = workspace.verified

    def find(self, key: str, damaged: Callable[[str], None]) -> KernelArtifact | None:
        """Return the kernel with a key, verified; None if there is none or it is damaged.

        Args:
            key: the key.
            damaged: called with the damage of a kernel.
        """
        directory = self._directory / key
        try:
            seals = check(directory, self._verified)
            return artifact_in(directory, _read_identity(directory / _IDENTITY, key), seals)
        except FileNotFoundError:
            return None
        except DamageError as damage:
            cause = damage.message
        except (OSError, ValueError, KeyError, TypeError) as error:
            cause = f"{directory}: {_IDENTITY}: {error}"
        damaged(cause)
        return None

    def keys(self) -> list[str]:
        """Return the keys of all kernels."""
        return sorted(path.name for path in self._directory.glob("[!.]*"))

    def newest_loader(self) -> tuple[Path, Seal] | None:
        """Return the loader that was built last, of any tree; damaged ones are skipped."""
        loaders = self._directory.glob(f"[!.]*/{LOADER}")
        for path in sorted(loaders, key=lambda path: path.stat().st_mtime, reverse=True):
            with contextlib.suppress(FileNotFoundError, DamageError):
                seal = check(path.parent, self._verified).get(LOADER)
                if seal is not None:
                    return path, seal
        return None

    def store(self, identity: KernelIdentity, files: Mapping[str, Path]) -> KernelArtifact:
        """Store copies of ``files`` (``kernel``, ``kernel.debug``, ``loader.efi``, ``config``).

        Raises:
            InfraError: a file cannot be written.
        """
        directory = self._directory / identity.key
        # Default values are left out, as in older versions, which read the file, too.
        left_out = {"files", *(["is_freebsd"] if identity.is_freebsd else [])}
        left_out |= set() if identity.options else {"options"}
        kept = {name: value for name, value in identity.document().items() if name not in left_out}
        seals = store(directory, files, {_IDENTITY: json.dumps(kept, indent=1) + "\n"})
        return artifact_in(directory, identity, seals)

    def add(self, kernel: KernelArtifact, name: str, module: Path) -> KernelArtifact:
        """Store a copy of a module with the kernel, under a name that tells what it is.

        Raises:
            InfraError: a file cannot be written.
        """
        directory = kernel.kernel.parent
        seals = {seal.name: seal for seal in kernel.identity.files}
        seals = add(directory, name, module, seals)
        return artifact_in(directory, kernel.identity, seals)


def rebuilding(note: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that reports a damaged kernel of the cache by ``note``."""
    return lambda cause: note(f"rebuilding a damaged kernel of the cache: {cause}")


def _read_identity(path: Path, key: str) -> KernelIdentity:
    """Return the identity in a file.

    Raises:
        ValueError, KeyError, TypeError, OSError: it is damaged, or of another version.
    """
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
        raise ValueError(f"it is of the kernel {identity.key}")
    return identity


def artifact_in(
    directory: Path, identity: KernelIdentity, seals: Mapping[str, Seal]
) -> KernelArtifact:
    """Return the kernel whose files, with these seals, are in a directory."""
    from harness.kernel.module import modules_among
    from harness.kernel.treemodule import tree_modules_among

    def sealed(name: str) -> Path | None:
        return directory / name if name in seals else None

    return KernelArtifact(
        identity=replace(identity, files=tuple(seals.values())),
        kernel=directory / KERNEL,
        debug=sealed(DEBUG) or directory / KERNEL,
        loader=sealed(LOADER),
        modules={part: directory / name for part, name in modules_among(seals).items()},
        loadable={part: directory / name for part, name in tree_modules_among(seals).items()},
    )
