"""``harness gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import common_options
from harness.host.cachesize import CacheEntry, Collected, collect, format_size, parse_size

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@click.option("--limit", default="20G", show_default=True, metavar="SIZE", help="What may stay.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@common_options
def gc(app: App, limit: str, dry_run: bool) -> None:
    """Remove built kernels, images and trees' objects, those longest unused first.

    Records of runs are not touched, and nothing that is in use is removed.

    \b
    Examples:
      harness gc --limit 10G
      harness gc --limit 0 --dry-run
    """
    collected = collect(app.workspace, parse_size(limit), dry_run=dry_run)
    word = "would remove" if dry_run else "removed"
    for entry in collected.removed:
        app.paper.print(f"{word} {_words(entry)}", markup=False)
    for entry in collected.busy:
        app.warn(f"{_words(entry)} is in use and stays")
    app.paper.print(_summary(collected, dry_run), markup=False)
    app.emit(
        {
            "removed": [_document(entry) for entry in collected.removed],
            "in_use": [_document(entry) for entry in collected.busy],
            "bytes_before": collected.before,
            "bytes_after": collected.after,
            "dry_run": dry_run,
        }
    )


def _words(entry: CacheEntry) -> str:
    return f"{entry.kind} {entry.path} ({format_size(entry.size)})"


def _summary(collected: Collected, dry_run: bool) -> str:
    verb = "would hold" if dry_run else "holds"
    return (
        f"the cache {verb} {format_size(collected.after)}; it held {format_size(collected.before)}"
    )


def _document(entry: CacheEntry) -> dict[str, Any]:
    return {"kind": entry.kind, "path": str(entry.path), "bytes": entry.size}
