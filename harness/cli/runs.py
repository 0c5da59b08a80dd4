"""``harness runs``: list records, and repeat what failed."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from harness.cli.commandgroup import ListingGroup
from harness.cli.completion import complete_repeated, complete_runs
from harness.cli.options import common_options
from harness.cli.streams import Invocation
from harness.errors import UsageError
from harness.printable import printable
from harness.results.listing import ListedRun, listed, selected
from harness.results.store import Store
from harness.results.unfinished import RUNNING, failed_cells, failed_mutants
from harness.runs.environment import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.cli.app import App

MUTANTS, BISECT = "mutants", "bisect"

#: Commands that can be repeated.
_REPEATED = ("boot", "compare", "check", MUTANTS, BISECT)

#: Values that replace options of a record's command: files to write, and how to build, are for the
#: user to choose; an interrupted bisection resumes.
_OWN = {"junit": None, "export": None, "no_sandbox": False, "restart": False}

_STYLES = {"ok": "green", "failed": "red"}


@click.group(cls=ListingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def runs() -> None:
    """List recorded runs, and repeat what failed.

    \b
    Examples:
      harness runs
      harness runs compare failed kasan
      harness runs retry
      harness runs retry 20260102-030405-compare after-kasan-numa4
    """


@runs.command("list")
@click.argument("filters", nargs=-1, metavar="[FILTER]...")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, metavar="N",
              help="The newest N runs.")  # fmt: skip
@common_options
def list_runs(app: App, filters: tuple[str, ...], last: int) -> int:
    """List runs, the newest last; 'list' may be omitted.

    A FILTER is a command, a state (ok, failed, host, interrupted, running), an outcome, a
    sanitizer, a backend, or a part of a run's name. A run must match all of them.

    \b
    Examples:
      harness runs
      harness runs boot panic
      harness runs 20260102 --json
    """
    store = Store(app.runs)
    known = [_listed(store, name) for name in store.names()]
    found = selected(known, filters)
    shown = found[-last:]
    if shown:
        app.paper.print(_table(shown))
    else:
        app.messages.say(f"there are no records in {store.directory}")
    if len(shown) < len(found):
        app.messages.say(f"{len(found) - len(shown)} older ones: harness runs --last {len(found)}")
    app.emit({"runs": [_document(run) for run in shown]})
    return 0


@runs.command()
@click.argument("run", default="latest", shell_complete=complete_runs)
@click.argument("cell", required=False, shell_complete=complete_repeated)
@common_options
def retry(app: App, run: str, cell: str | None) -> int:
    """Repeat the cells of a run that failed or have no result, or one named CELL.

    The run's command is run again for these cells, and writes a new record. A CELL of 'mutants' is
    a mutant. An interrupted 'bisect' is resumed in the same record. A tree without --rev is used as
    it is now.

    \b
    Examples:
      harness runs retry
      harness runs retry latest after-kasan-numa4
      harness runs retry 20260102-030405-mutants drop-domain-wait
    """
    document = Store(app.runs).load(run)
    name, command = document["name"], _command(document)
    if command[0] == BISECT:
        failed = _failed_bisection(document, cell)
    else:
        failed = _failed(document, command[0], cell)
    if not failed:
        app.messages.say(f"nothing of {name} failed: there is nothing to repeat")
        app.emit({**document, "retry_of": name})
        return 0
    app.messages.say(f"repeating {len(failed)} of {name}: {', '.join(sorted(failed))}")
    return _carry_out(app, Retry(name, command, frozenset(failed)), document)


def _listed(store: Store, name: str) -> ListedRun:
    try:
        return listed(store.load(name))
    except UsageError:
        return ListedRun(name)


def _table(found: Sequence[ListedRun]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "state", "as expected", "outcomes"):
        table.add_column(heading, overflow="fold")
    for run in found:
        expected = f"{run.as_expected} of {run.cells + run.left}" if run.cells + run.left else ""
        outcomes = ", ".join(f"{count} {each}" for each, count in (run.outcomes or {}).items())
        table.add_row(
            Text(printable(run.name)), Text(run.state, _STYLES.get(run.state, "yellow")),
            expected, Text(printable(outcomes)),
        )  # fmt: skip
    return table


def _document(run: ListedRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "command": list(run.command),
        "started": run.started,
        "state": run.state,
        "exit_code": run.exit_code,
        "cells": run.cells,
        "as_expected": run.as_expected,
        "without_result": run.left,
        "outcomes": dict(run.outcomes or {}),
    }


def _command(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the command of a run that has ended.

    Raises:
        UsageError: the run has not ended, or cannot be repeated.
    """
    name, command = document["name"], tuple(document.get("command", ()))
    if not command or command[0] not in _REPEATED:
        raise UsageError(
            f"{name} cannot be repeated: it is a run of "
            f"{command[0] if command else 'an unknown command'}",
            remedy=f"name a run of {', '.join(_REPEATED)}; to list them: harness runs",
        )
    if document.get("state") == RUNNING:
        raise UsageError(f"{name} is still running", remedy="wait until it ends")
    return command


def _failed(document: Mapping[str, Any], command: str, cell: str | None) -> list[str]:
    """Return the names of the cells, or of the mutants, to repeat.

    Raises:
        UsageError: there is no such cell.
    """
    if command == MUTANTS:
        noun, failed, known = "mutant", failed_mutants(document), document.get("planned_mutants")
    else:
        noun, failed, known = "cell", failed_cells(document), document.get("planned")
    if cell is None:
        return failed
    if known is None:
        known = [each["name"] for each in document["cells"]]
    if cell not in known:
        raise UsageError(
            f"run {document['name']} has no {noun} {cell!r}",
            remedy=f"name one of: {', '.join(known)}" if known else f"leave the {noun} out",
        )
    return [cell]


def _failed_bisection(document: Mapping[str, Any], cell: str | None) -> list[str]:
    """Return the bisection itself, unless it has an answer.

    Raises:
        UsageError: a cell is named; the search chooses the tests.
    """
    name = document["name"]
    if cell is not None:
        raise UsageError(
            f"cannot repeat {cell}: {name} is a bisection",
            remedy=f"to resume the bisection: harness runs retry {name}",
        )
    return [] if document["exit_code"] == 0 else [name]


def _carry_out(app: App, retry: Retry, document: Mapping[str, Any]) -> int:
    """Run the command of a record again; options of this call replace the record's."""
    import importlib
    import os

    root = click.get_current_context().find_root()
    name, *arguments = retry.command
    command: click.Command = getattr(importlib.import_module(f"harness.cli.{name}"), name)
    source = document.get("source")
    if source and app.source(None) != source:
        os.environ["HARNESS_SOURCE"] = source  # --source takes precedence
    invocation = root.ensure_object(Invocation)
    with command.make_context(
        name, arguments, parent=root, obj=replace(invocation, retry=retry)
    ) as ctx:
        if ctx.params.get("words"):  # a program of the host
            raise _runs_a_program(retry, source)
        ctx.params |= {key: value for key, value in _OWN.items() if key in ctx.params}
        ctx.params |= {"as_json": app.as_json, "out": app.out}
        ctx.params |= {"verbose": app.verbosity > 0, "quiet": app.verbosity < 0}
        code: int = command.invoke(ctx)
    return code


def _runs_a_program(retry: Retry, source: str | None) -> UsageError:
    """Return the error for a command that runs a program, as a record may be untrusted."""
    own = list(itertools.takewhile(lambda word: word != "--", retry.command))
    words = [word for word in own if word != "--restart"] + list(retry.command[len(own) :])
    given = [f"HARNESS_SOURCE={source}"] if source and "--source" not in own else []
    return UsageError(
        f"cannot repeat {retry.run}: it runs a program, which is not taken from a record",
        remedy=f"to resume it: {shlex.join([*given, 'harness', *words])}",
    )
