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
from harness.guest.serialtap import Detached, LogTap
from harness.host.cachesize import format_size
from harness.printable import printable
from harness.results.store import Store, is_own

if TYPE_CHECKING:
    from harness.cli.app import App

_TICK = 0.25
_LINE = 1 << 16

#: Bytes of earlier output that are printed when a console is attached.
_BEFORE = 4096


@click.command()
@click.argument("run", default="latest", shell_complete=complete_consoles)
@click.argument("cell", required=False, shell_complete=complete_cells)
@click.option("--raw", is_flag=True, help="Print unfiltered bytes, with control characters.")
@click.option("--follow", "-f", is_flag=True, help="Continue while the guest runs (boot --keep).")
@click.option(
    "--interactive",
    is_flag=True,
    help="Attach to a running guest, unfiltered; Ctrl-] detaches.",
)
@common_options
def console(
    app: App, run: str, cell: str | None, *, raw: bool, follow: bool, interactive: bool
) -> int:
    """Print a guest's console, follow it, or attach to it.

    RUN is a record's name, the name of a kept guest, or 'latest'; CELL is required if a run has
    several. CELL/REPEAT is a second opinion on a failure, as named in the report.

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
            "--interactive and --json exclude each other", remedy="leave one of them out"
        )
    if interactive:
        _attach(_live_guest(registry, run, cell), app)
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
        if app.streams.lost_answer:  # the reader has exited
            break
    return 0


def _live_guest(registry: Registry, name: str, cell: str | None) -> KeptGuest:
    found = [guest for guest in registry.find(name) if cell in (None, guest.cell)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} running guests match {' '.join(filter(None, (name, cell)))}",
            remedy="name one guest; to list them: harness ps",
        )
    return found[0]


def _log(
    app: App, live: list[KeptGuest], run: str, cell: str | None
) -> tuple[Path, KeptGuest | None]:
    """Return the log of a guest or of a cell, and the guest if it is running."""
    for guest in live:
        if guest.name == run and cell is None:
            return guest.console, guest
    directory = Store(app.runs).find(run)
    logs = _logs(app, run)
    repeats = {str(path.parent.relative_to(directory)): path
               for path in _own(directory, "*/*/console.log")}  # fmt: skip
    name = cell or next(iter(logs), None)
    if name is None:
        raise UsageError(
            f"run {directory.name} has no console: no guest was started",
            remedy=f"print the cause: harness report {directory.name}",
        )
    logs |= repeats
    if name not in logs:
        raise UsageError(
            f"run {directory.name} has no cell {cell!r}",
            remedy=f"name one of: {', '.join(logs) or 'none'}",
        )
    log = logs[name].resolve()
    return log, next((guest for guest in live if guest.console == log), None)


def _logs(app: App, run: str) -> dict[str, Path]:
    """Return the logs of a run, by cell."""
    directory = Store(app.runs).find(run)
    return {path.parent.name: path for path in _own(directory, "*/console.log")}


def _list(app: App, run: str, logs: dict[str, Path], live: list[KeptGuest]) -> int:
    """List the consoles of a run."""
    running = {guest.console for guest in live}
    for name, log in logs.items():
        size = format_size(log.stat().st_size)
        app.paper.print(f"{printable(name)}  {size}", markup=False, soft_wrap=True)
    app.messages.say(
        f"{len(logs)} consoles; to print one: harness console {run} {next(iter(logs))}"
    )
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


def _own(directory: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(directory.glob(pattern)) if is_own(path)]


def _attach(guest: KeptGuest, app: App) -> None:
    def announce() -> None:
        app.messages.say(f"attached to the console of {guest.name}, {UNFILTERED}; Ctrl-] detaches")

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
        app.messages.say(f"{guest.name} has ended")


def _blocks(log: Path, guest: KeptGuest | None) -> Iterator[bytes]:
    """Generate the content of the log, and further output while ``guest`` is running."""
    with LogTap(log, guest.entrance if guest else None) as tap:
        running = True
        while running:
            running = guest is not None and guest.runs
            while data := tap.read(_TICK if running else 0):
                yield data


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Generate lines; long ones are split."""
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
