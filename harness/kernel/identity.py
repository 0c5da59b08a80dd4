"""The identity of a kernel that is built from a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.kernel.artifact import KernelIdentity

if TYPE_CHECKING:
    from pathlib import Path

    from harness.kernel.spec import KernelConfig
    from harness.source.revision import Snapshot

_REPRODUCIBLE_ROOT: Final = "/usr/src"
"""The directory of sources in the debug symbols of later releases (``WITH_REPRODUCIBLE_BUILD``,
sys/conf/kern.pre.mk)."""


def identity_of(
    key: str, snapshot: Snapshot, config: KernelConfig, compiler: str, checkout: Path
) -> KernelIdentity:
    """Return the identity of a kernel before it is built.

    Args:
        key: its key in the cache.
        snapshot: the content of the tree.
        config: its configuration.
        compiler: the first line of the compiler's ``--version``.
        checkout: the directory that its sources are checked out into.
    """
    return KernelIdentity(
        key=key,
        source=snapshot.location,
        label=f"{snapshot.label}{config.options.words}",
        commit=snapshot.commit,
        tree=snapshot.tree,
        dirty=snapshot.dirty,
        patch=snapshot.patch,
        mutant=snapshot.mutant,
        release=snapshot.release,
        kernconf=config.name,
        sanitizer=config.sanitizers,
        options=config.options.texts,
        compiler=compiler,
        source_roots=(str(checkout), _REPRODUCIBLE_ROOT),
        facts=snapshot.facts,
    )
