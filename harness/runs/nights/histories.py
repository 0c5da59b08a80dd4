"""The histories of this user: where they are, what they pin, and what of them expires."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.history.url import DatabaseUrl
from harness.host.workspace import host_refused, make_directory, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from harness.history.database import Database
    from harness.history.url import HistoryLocation
    from harness.host.workspace import Workspace

_SUFFIX: Final = ".sqlite"
_URL_SUFFIX: Final = ".url"


def default_history(workspace: Workspace, plan: str) -> Path:
    """Return the file of a plan's history, if the plan names none."""
    return workspace.state / "nightly" / f"{plan}{_SUFFIX}"


def remember_history(workspace: Workspace, location: HistoryLocation) -> None:
    """Leave a link to a history that lies elsewhere, so that ``harness gc`` finds it.

    Of a database on a server, it is a file with the URL, which has no password.

    Raises:
        InfraError: the link cannot be written.
    """
    links = _links(workspace)
    if isinstance(location, Path):
        location = location.absolute()
        if location.parent == links.parent:
            return
    suffix = _SUFFIX if isinstance(location, Path) else _URL_SUFFIX
    link = links / f"{hashlib.sha256(str(location).encode()).hexdigest()[:16]}{suffix}"
    if link.exists():
        return
    make_directory(links)
    try:
        if isinstance(location, DatabaseUrl):
            write_atomic(link, str(location))
            return
        with suppress(FileExistsError):
            link.symlink_to(location)
    except OSError as error:
        raise host_refused(link, error) from error


def histories(workspace: Workspace) -> list[HistoryLocation]:
    """Return where all histories are: the files that exist, and then the databases."""
    links = _links(workspace)
    found = [*links.parent.glob(f"*{_SUFFIX}"), *links.glob(f"*{_SUFFIX}")]
    files = sorted({path.resolve() for path in found if path.is_file()})
    urls = (_url_in(path) for path in sorted(links.glob(f"*{_URL_SUFFIX}")))
    return [*files, *(url for url in urls if url is not None)]


def _url_in(path: Path) -> DatabaseUrl | None:
    """Return the URL in a file of ``remember_history``; None if it is damaged."""
    try:
        return DatabaseUrl.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, UsageError):
        return None


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
