"""The histories of this user: where they are, what they pin, and what of them expires."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from harness.host.workspace import host_refused, make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from harness.history.database import Database
    from harness.host.workspace import Workspace

_SUFFIX: Final = ".sqlite"


def default_history(workspace: Workspace, plan: str) -> Path:
    """Return the file of a plan's history, if the plan names none."""
    return workspace.state / "nightly" / f"{plan}{_SUFFIX}"


def remember_history(workspace: Workspace, path: Path) -> None:
    """Leave a link to a history that lies elsewhere, so that ``harness gc`` finds it.

    Raises:
        InfraError: the link cannot be written.
    """
    path = path.absolute()
    links = _links(workspace)
    if path.parent == links.parent:
        return
    make_directory(links)
    link = links / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}{_SUFFIX}"
    try:
        with suppress(FileExistsError):
            link.symlink_to(path)
    except OSError as error:
        raise host_refused(link, error) from error


def histories(workspace: Workspace) -> list[Path]:
    """Return the files of all histories that exist."""
    links = _links(workspace)
    found = [*links.parent.glob(f"*{_SUFFIX}"), *links.glob(f"*{_SUFFIX}")]
    return sorted({path.resolve() for path in found if path.is_file()})


def pinned_kernels(databases: list[Database]) -> frozenset[str]:
    """Return the keys of the cached kernels that the open problems of histories need.

    Raises:
        InfraError: a history cannot be read.
    """
    from harness.history.retention import pinned

    return frozenset(key for database in databases for key in pinned(database).kernels)


def expire_consoles(
    databases: list[Database], now: datetime, age: float | None, limit: int | None, *,
    dry_run: bool,
) -> Iterator[tuple[str, int, int]]:  # fmt: skip
    """Remove consoles that no problem needs; yield each history, their number and their bytes.

    Args:
        databases: the histories.
        now: the present.
        age: seconds after which a console expires; None: no limit.
        limit: bytes that the consoles of each history may take; None: no limit.
        dry_run: remove nothing.

    Raises:
        InfraError: a history cannot be read or written.
    """
    from harness.history.retention import (
        consoles,
        consoles_to_remove,
        pinned,
        remove_consoles,
    )

    for database in databases:
        kept = pinned(database).consoles
        gone = consoles_to_remove(consoles(database), kept, now, age, limit)
        if gone and not dry_run:
            remove_consoles(database, [each.hash for each in gone])
        yield database.place, len(gone), sum(each.size for each in gone)


def _links(workspace: Workspace) -> Path:
    return workspace.state / "nightly" / "elsewhere"
