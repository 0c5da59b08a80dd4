"""``harness console``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_cells, complete_consoles
from harness.cli.options import common_options
from harness.cli.terminal import UNFILTERED, HostTerminal
from harness.errors import UsageError
from harness.guest.registry import KeptGuest, Registry
from harness.guest.tap import Detached, LogTap
from harness.host.cachesize import format_size
from harness.printable import printable
from harness.results.store import Store, is_own

if TYPE_CHECKING:
    from harness.cli.app import App

_TICK = 0.25
_LINE = 1 << 16

#: How much of what was said before somebody sees who comes to sit at a console.
_BEFORE = 4096


@click.command()
@click.argument("run", default="latest", shell_complete=complete_consoles)
@click.argument("cell", required=False, shell_complete=complete_cells)
@click.option("--raw", is_flag=True, help="The bytes as they came, control characters and all.")
@click.option("--follow", "-f", is_flag=True, help="Go on while the guest runs (boot --keep).")
@click.option(
    "--interactive",
    is_flag=True,
    help="Type at a guest that runs, escapes and all; Ctrl-] leaves it.",
)
@common_options
def console(
    app: App, run: str, cell: str | None, *, raw: bool, follow: bool, interactive: bool
) -> int:
    """Print a guest's console, follow it, or type at it.

    RUN is a record's name, the name of a guest that was kept, or 'latest'; CELL is needed where a
    run has several. CELL/REPEAT is a boot that a failure needed besides, as the report names it.

    \b
    Examples:
      harness console
      harness console latest before-kasan-numa4
      harness console latest kasan-numa2/again-tcg-loader
      harness console --follow
      harness console --interactive kasan-numa2
    """
    registry = Registry(app.workspace, app.clock)
    if interactive and app.as_json:
        raise UsageError(
            "--interactive and --json both want standard output", remedy="leave one of them out"
        )
    if interactive:
        _sit_at(_live_guest(registry, run, cell), app)
        return 0
    live = registry.live()
    logs = {} if cell or any(guest.name == run for guest in live) else _logs(app, run)
    if len(logs) > 1:
        return _list(app, run, logs, live)
    log, guest = _log(app, live, run, cell)
    if app.as_json:
        app.emit({"console": log, "bytes": log.stat().st_size, "runs": guest is not None})
        return 0
    blocks = _blocks(log, guest if follow else None)
    for data in blocks if raw else map(_line, _lines(blocks)):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        if app.streams.lost_answer:  # nobody reads on
            break
    return 0


def _live_guest(registry: Registry, name: str, cell: str | None) -> KeptGuest:
    found = [guest for guest in registry.find(name) if cell in (None, guest.cell)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} guests that run are meant by {' '.join(filter(None, (name, cell)))}",
            remedy="name one of those that harness ps lists",
        )
    return found[0]


def _log(
    app: App, live: list[KeptGuest], run: str, cell: str | None
) -> tuple[Path, KeptGuest | None]:
    """The log of a guest by its name, or of a cell of a record; with it the guest, if it runs."""
    for guest in live:
        if guest.name == run and cell is None:
            return guest.console, guest
    folder = Store(app.runs).find(run)
    logs = _logs(app, run)
    repeats = {str(path.parent.relative_to(folder)): path
               for path in _own(folder, "*/*/console.log")}  # fmt: skip
    name = cell or next(iter(logs), None)
    if name is None:
        raise UsageError(
            f"run {folder.name} has no console: no guest of it was started",
            remedy=f"see why: harness report {folder.name}",
        )
    logs |= repeats
    if name not in logs:
        raise UsageError(
            f"run {folder.name} has no cell {cell!r}",
            remedy=f"name one of: {', '.join(logs) or 'none'}",
        )
    log = logs[name].resolve()
    return log, next((guest for guest in live if guest.console == log), None)


def _logs(app: App, run: str) -> dict[str, Path]:
    """The logs of a run's cells, by the names of the cells."""
    folder = Store(app.runs).find(run)
    return {path.parent.name: path for path in _own(folder, "*/console.log")}


def _list(app: App, run: str, logs: dict[str, Path], live: list[KeptGuest]) -> int:
    """Name the consoles of a run that has several."""
    running = {guest.console for guest in live}
    for name, log in logs.items():
        size = format_size(log.stat().st_size)
        app.paper.print(f"{printable(name)}  {size}", markup=False, soft_wrap=True)
    app.talk.say(f"{len(logs)} consoles; to print one: harness console {run} {next(iter(logs))}")
    app.emit(
        {
            "consoles": [
                {"cell": name, "console": log, "bytes": log.stat().st_size,
                 "runs": log.resolve() in running}
                for name, log in logs.items()
            ]
        }
    )  # fmt: skip
    return 0


def _own(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if is_own(path)]


def _sit_at(guest: KeptGuest, app: App) -> None:
    def announce() -> None:
        app.talk.say(f"The console of {guest.name}, {UNFILTERED}; Ctrl-] leaves it.")

    terminal = HostTerminal.of_user(announce)
    offset = max(0, guest.console.stat().st_size - _BEFORE)
    with (
        LogTap(guest.console, guest.entrance, offset) as tap,
        terminal.attached(tap) as line,
        contextlib.suppress(Detached),
    ):
        while line.read(_TICK) or guest.runs:
            pass
    if not guest.runs:
        app.talk.say(f"{guest.name} has ended")


def _blocks(log: Path, guest: KeptGuest | None) -> Iterator[bytes]:
    """What stands in the log, and what comes to it as long as ``guest`` runs."""
    with LogTap(log, guest.entrance if guest else None) as tap:
        running = True
        while running:
            running = guest is not None and guest.runs
            while data := tap.read(_TICK if running else 0):
                yield data


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, a long one in pieces."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > _LINE:
            yield rest
            rest = b""
    if rest:
        yield rest


def _line(line: bytes) -> bytes:
    return printable(line.decode("utf-8", "replace").rstrip("\r")).encode() + b"\n"
