"""``harness cases``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from harness.cli.completion import complete_cases
from harness.cli.options import common_options
from harness.results.lines import print_line
from harness.subsystems.table import cases as named_cases
from harness.subsystems.table import find_case

if TYPE_CHECKING:
    from harness.cases import NamedCase, Shown
    from harness.cli.app import App


@click.command()
@click.argument("name", required=False, shell_complete=complete_cases)
@common_options
def cases(app: App, name: str | None) -> int:
    """List real bugs that the harness reproduces, or describe one.

    \b
    Examples:
      harness cases
      harness cases ap-trampoline
    """
    if name is None:
        chosen = tuple(named_cases().values())
        app.paper.print(_table(chosen))
    else:
        chosen = (find_case(name),)
        for line in _lines(chosen[0]):
            print_line(app.paper, line)
    app.emit({"cases": [_document(case) for case in chosen]})
    return 0


def _table(chosen: Iterable[NamedCase]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("case", no_wrap=True)
    table.add_column("what is wrong", overflow="fold")
    for case in chosen:
        table.add_row(Text(case.name), Text(case.story))
    return table


def _lines(case: NamedCase) -> Iterator[str]:
    yield f"{case.name}: {case.story}"
    yield f"  in: {', '.join(f'{function}()' for function in case.functions)}"
    yield f"  introduced by: {case.introduced or 'not known'}"
    yield f"  fixed by: {case.fixed or 'nothing known'}"
    yield f"  run: {_command(case)}"
    yield from (f"  must come out: {_words(shown)}" for shown in case.shown)
    yield from (f"    {line}" for line in case.trace.splitlines())


def _command(case: NamedCase) -> str:
    return shlex.join(("harness", *case.command))


def _words(shown: Shown) -> str:
    title = f": {shown.title}" if shown.title else ""
    check = {None: "", True: ", the check agrees", False: ", the check fails"}[shown.agrees]
    side = f"{shown.side}, " if shown.side else ""
    return f"on {shown.release}x, {side}{shown.outcome}{title}{check}"


def _document(case: NamedCase) -> dict[str, Any]:
    return {
        "name": case.name,
        "story": case.story,
        "introduced": case.introduced,
        "fixed": case.fixed,
        "functions": list(case.functions),
        "command": _command(case),
        "vm": case.vm,
        "shown": [
            {
                "release": shown.release,
                "side": shown.side,
                "outcome": shown.outcome.value,
                "title": shown.title,
                "agrees": shown.agrees,
            }
            for shown in case.shown
        ],
    }
