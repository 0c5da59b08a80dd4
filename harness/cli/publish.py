"""Writes a run's result to the places that the user named."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InfraError
from harness.results.store import Store

if TYPE_CHECKING:
    from rich.console import Console

    from harness.cli.app import App
    from harness.runs.recording import RunResult


def publish_run(
    app: App, result: RunResult, junit: Path | None = None, *, paper: Console | None = None
) -> None:
    """Write the result of cells; see ``publish``.

    Args:
        app: the host and the user.
        result: of the run, whose record is kept.
        junit: a file for JUnit XML.
        paper: where the run is printed; None: ``app.paper``.
    """
    from harness.results.record import to_document
    from harness.results.text import print_run

    def export() -> None:
        if junit is not None:
            from harness.results.junit import write_junit  # slow to import

            write_junit(result.run, junit)

    publish(
        app, to_document(result.run),
        lambda: print_run(result.run, paper or app.paper, verbose=app.verbosity > 0), export,
    )  # fmt: skip


def publish(
    app: App,
    document: Mapping[str, Any],
    show: Callable[[], None],
    export: Callable[[], None] = lambda: None,
) -> None:
    """Write the result; the record lists what could not be written.

    Args:
        app: the host and the user.
        document: the record, as it is kept, and what ``--json`` prints.
        show: prints it on ``app.paper``.
        export: writes the file that the user named, if one was.

    Raises:
        InfraError: the record or the file cannot be written.
    """
    store = Store(app.runs)
    unwritten = app.streams.failures()
    show()
    app.emit({**document, "unwritten": unwritten})
    directory = store.directory / str(document["name"])
    app.messages.say(f"record: {shlex.quote(str(directory))}")
    refused = _refusal(export)
    now = [*app.streams.failures(), *([refused.message] if refused else [])]
    if now:
        store.save_document({**document, "unwritten": now})
    if refused is not None:
        raise refused


def _refusal(export: Callable[[], None]) -> InfraError | None:
    try:
        export()
    except InfraError as error:
        return error
    return None
