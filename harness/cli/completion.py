"""Shell completion. It builds, clones and changes nothing.

Each function has the signature of click's ``shell_complete``. On failure it returns no words,
because a shell shows nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results.store import Store

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

#: Most words; a tree may have any number of branches.
_MOST = 500

#: Formats of git-for-each-ref(1) for names of revisions.
_REFS = ("refs/heads", "refs/tags", "refs/remotes")


def _words(find: Callable[[click.Context], Iterable[str]]) -> Completer:
    """Return a completer that offers the words of ``find`` with the typed prefix."""

    @functools.wraps(find)
    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            found = [name for name in find(ctx) if name.startswith(incomplete)]
        except (HarnessError, OSError, ValueError):
            return []
        return [CompletionItem(name) for name in found[:_MOST] if name.isprintable()]

    return complete


def _or_file(complete: Completer, kind: str) -> Completer:
    """Return a completer that offers files if ``complete`` offers nothing."""

    @functools.wraps(complete)
    def extended(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return complete(ctx, param, incomplete) or [CompletionItem(incomplete, type=kind)]

    return extended


@_words
def complete_mutants(ctx: click.Context) -> Iterable[str]:
    """Offer names of mutants."""
    from harness.subsystems.table import mutants

    return mutants()


@_words
def complete_cases(ctx: click.Context) -> Iterable[str]:
    """Offer names of cases."""
    from harness.subsystems.table import cases

    return cases()


@_words
def _vms(ctx: click.Context) -> Iterable[str]:
    from harness.guest.vmconfig import vmconfig_names

    return vmconfig_names()


@_words
def _sources(ctx: click.Context) -> Iterable[str]:
    from harness.provide.sources import NAMED_SOURCES

    return NAMED_SOURCES


@_words
def complete_revisions(ctx: click.Context) -> Iterable[str]:
    """Offer branches and tags of the tree, if it is on this host."""
    from harness.config import load_settings
    from harness.host.process import HostRunner
    from harness.host.workspace import Workspace
    from harness.source.location import source_location
    from harness.source.opentree import open_tree

    settings = load_settings().source
    location = source_location(ctx.params.get("source"), lambda: settings.tree)
    if not (Path(location).expanduser() / ".git").exists():
        return ()
    tree = open_tree(location, Workspace.of_user(), HostRunner(), settings.trust)
    return tree.repository.git("for-each-ref", "--format=%(refname:short)", *_REFS).text.split()


@_words
def complete_runs(ctx: click.Context) -> Iterable[str]:
    """Offer names of records, newest first."""
    from harness.results.store import LATEST

    return [LATEST, *reversed(_store(ctx).names())]


@_words
def complete_cells(ctx: click.Context) -> Iterable[str]:
    """Offer cells of the run in the arguments."""
    directory = _store(ctx).find(ctx.params["run"])
    return sorted(log.parent.name for log in directory.glob("*/console.log"))


@_words
def complete_repeated(ctx: click.Context) -> Iterable[str]:
    """Offer mutants or cells of the run in the arguments that can be repeated."""
    document = _store(ctx).load(ctx.params["run"])
    return sorted(document.get("planned_mutants") or document.get("planned", ()))


@_words
def complete_guests(ctx: click.Context) -> Iterable[str]:
    """Offer names and runs of kept guests."""
    from harness.guest.registry import Registry
    from harness.host.clock import HostClock
    from harness.host.workspace import Workspace

    live = Registry(Workspace.of_user(), HostClock()).live()
    return dict.fromkeys(name for guest in live for name in (guest.name, guest.run))


def complete_consoles(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer kept guests and records, which have consoles."""
    return [
        *complete_guests(ctx, param, incomplete),
        *complete_runs(ctx, param, incomplete),
    ]


def complete_sanitizers(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer sanitizers that can be combined with those before the last comma."""
    from harness.sanitizers import TABLE, parse_sanitizers

    before, comma, word = incomplete.rpartition(",")
    try:
        chosen = parse_sanitizers(before) if comma else frozenset()
    except HarnessError:
        return []
    alone = any(row.alone for row in chosen)
    fitting = [row for row in TABLE if row not in chosen and not (row.alone and alone)]
    return [
        CompletionItem(f"{before}{comma}{row.name}", help=row.description)
        for row in fitting
        if row.name.startswith(word)
    ]


complete_vms = _or_file(_vms, "file")
complete_sources = _or_file(_sources, "dir")


def _store(ctx: click.Context) -> Store:
    from harness.host.workspace import Workspace
    from harness.results.store import Store

    return Store(ctx.params.get("out") or Workspace.of_user().runs)
