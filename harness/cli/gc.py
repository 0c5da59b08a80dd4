"""``harness gc``."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.nightlyplan import require_packages
from harness.cli.options import common_options
from harness.errors import InfraError, UsageError, given_with
from harness.guest.registry import Registry
from harness.host.cachesize import (
    CacheEntry,
    Collected,
    collect,
    format_size,
    parse_size,
    trim,
)
from harness.results.expiry import expired, kept_by, parse_age, remove_run, run_entries
from harness.results.store import Store
from harness.results.unfinished import RUNNING
from harness.runs.nights.histories import expire_consoles, histories, pinned_kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.cli.app import App
    from harness.history.database import Database


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """What is kept at most; None: everything.

    Args:
        cache: bytes of the cache.
        snapshots: bytes of the snapshots of guests.
        runs_age: seconds after which a record expires.
        runs: bytes of all records.
        consoles_age: seconds after which a console of a history expires.
        consoles: bytes of the consoles of each history.
    """

    cache: int
    snapshots: int
    runs_age: int | None
    runs: int | None
    consoles_age: float | None
    consoles: int | None


@click.command()
@click.option("--limit", default="20G", show_default=True, metavar="SIZE",
              help="Size of the cache afterwards.")  # fmt: skip
@click.option("--snapshots-limit", default="8G", show_default=True, metavar="SIZE",
              help="Size of all snapshots of guests afterwards.")  # fmt: skip
@click.option("--runs-limit", metavar="SIZE", help="Size of all records afterwards.")
@click.option("--runs-age", metavar="AGE", help="Remove records older than 12h, 30d, 1y.")
@click.option("--consoles-limit", metavar="SIZE",
              help="Size of all consoles in each history of nights afterwards.")  # fmt: skip
@click.option("--consoles-age", metavar="AGE", help="Remove consoles of nights older than 90d, 1y.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@common_options
def gc(
    app: App, limit: str, snapshots_limit: str, runs_limit: str | None, runs_age: str | None,
    consoles_limit: str | None, consoles_age: str | None, *, dry_run: bool,
) -> None:  # fmt: skip
    """Remove the least recently used kernels, images, snapshots and objects from the cache.

    Records of runs are removed only with --runs-age or --runs-limit, the oldest first. Kernels and
    records of running guests are kept, and so are records of runs that have not ended.

    Consoles in the histories of nights are removed only with --consoles-age or --consoles-limit.
    The consoles of each problem's last good and first bad revision are kept, and so are the kernels
    of open problems.

    \b
    Examples:
      harness gc --limit 10G
      harness gc --runs-age 30d --runs-limit 5G
      harness gc --limit 0 --dry-run
    """
    with given_with("--limit"):
        size = parse_size(limit)
    with given_with("--snapshots-limit"):
        snapshots_size = parse_size(snapshots_limit)
    with given_with("--runs-age"):
        age = parse_age(runs_age) if runs_age else None
    with given_with("--consoles-age"):
        console_age = parse_age(consoles_age) if consoles_age else None
    with given_with("--runs-limit"):
        runs_size = parse_size(runs_limit) if runs_limit else None
    with given_with("--consoles-limit"):
        consoles_size = parse_size(consoles_limit) if consoles_limit else None
    limits = SizeLimits(size, snapshots_size, age, runs_size, console_age, consoles_size)
    with _histories(app, dry_run=dry_run) as databases:
        _collect(app, databases, limits, dry_run=dry_run)


def _collect(app: App, databases: list[Database], limits: SizeLimits, *, dry_run: bool) -> None:
    """Remove what exceeds limits, and print it."""
    guests = Registry(app.workspace, app.clock).live()
    kernels, worlds = (app.workspace.cache / name for name in ("kernels", "worlds"))
    spared = {kernels / guest.kernel for guest in guests if guest.kernel}
    spared |= {worlds / guest.world for guest in guests if guest.world}
    needed = {kernels / key for key in pinned_kernels(databases)}
    snapshots = trim(app.workspace, "snapshot", limits.snapshots, dry_run=dry_run)
    collected = collect(app.workspace, limits.cache, spared=spared | needed, dry_run=dry_run)
    store = Store(app.runs)
    asked = limits.runs_age is not None or limits.runs is not None  # otherwise no record is read
    runs = _removable(store, [guest.console for guest in guests]) if asked else []
    gone = expired(runs, now=app.clock.now().timestamp(), age=limits.runs_age, limit=limits.runs)
    if not dry_run:
        for entry in gone:
            remove_run(entry)
    word = "would remove" if dry_run else "removed"
    for entry in (*snapshots, *collected.removed, *gone):
        app.paper.print(f"{word} {_words(entry)}", markup=False, soft_wrap=True)
    removed = []
    if limits.consoles_age is not None or limits.consoles is not None:
        removed = list(
            expire_consoles(
                databases, app.clock.now(), limits.consoles_age, limits.consoles, dry_run=dry_run
            )
        )
    for place, count, bytes_ in removed:
        app.paper.print(
            f"{word} {count} consoles of {place} ({format_size(bytes_)})",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    for entry in collected.busy:
        why = "needed by an open problem" if entry.path in needed - spared else "in use"
        app.warn(f"{_words(entry)} is {why} and was kept")
    app.paper.print(_summary(collected, dry_run), markup=False)
    app.emit(
        {
            "removed": [_document(entry) for entry in (*snapshots, *collected.removed, *gone)],
            "in_use": [_document(entry) for entry in collected.busy],
            "consoles": [
                {"history": place, "count": count, "bytes": size_}
                for place, count, size_ in removed
            ],
            "bytes_before": collected.before,
            "bytes_after": collected.after,
            "dry_run": dry_run,
        }
    )


@contextmanager
def _histories(app: App, *, dry_run: bool) -> Iterator[list[Database]]:
    """Yield the histories of nights that can be read; a dry run leaves their files as they are."""
    found: list[Database] = []
    with ExitStack() as stack:
        for location in histories(app.workspace):
            try:
                require_packages()
                from harness.history.database import Database

                if dry_run:
                    scratch = stack.enter_context(app.workspace.scratch("gc"))
                    found.append(Database.unchanged(location, scratch))
                else:
                    found.append(Database.open(location))
            except (InfraError, UsageError) as error:
                app.warn(f"the kernels that {location} pins are not kept: {error.message}")
        yield found


def _removable(store: Store, consoles: list[Path]) -> list[CacheEntry]:
    """Return the runs that have ended, and whose guests have ended."""
    entries = run_entries(store)
    busy = kept_by(entries, consoles)
    return [entry for entry in entries if entry not in busy and not _runs(store, entry)]


def _runs(store: Store, entry: CacheEntry) -> bool:
    try:
        return store.load(entry.path.name).get("state") == RUNNING
    except UsageError:  # the record is damaged
        return False


def _words(entry: CacheEntry) -> str:
    return f"{entry.kind} {entry.path} ({format_size(entry.size)})"


def _summary(collected: Collected, dry_run: bool) -> str:
    word = "size of the cache after removal" if dry_run else "size of the cache"
    return f"{word}: {format_size(collected.after)} (before: {format_size(collected.before)})"


def _document(entry: CacheEntry) -> dict[str, Any]:
    return {"kind": entry.kind, "path": str(entry.path), "bytes": entry.size}
