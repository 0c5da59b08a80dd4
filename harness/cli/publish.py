"""What a run came to: into the record first, then to where the user asked for it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.results.store import Store


def publish(
    app: App,
    store: Store,
    document: Mapping[str, Any],
    show: Callable[[], None],
    export: Callable[[], None] = lambda: None,
) -> None:
    """Keep the record and write the result; the record lists what could not be written.

    Args:
        app: the host and the user.
        store: of records.
        document: the record, and what ``--json`` prints.
        show: prints it on ``app.paper``.
        export: writes the file that the user named, if one was.

    Raises:
        InfraError: the record or the file cannot be written.
    """
    unwritten = app.streams.failures()
    store.save_document({**document, "unwritten": unwritten})
    show()
    app.emit({**document, "unwritten": unwritten})
    folder = store.folder / str(document["name"])
    app.talk.say(f"record: {shlex.quote(str(folder))}")
    refused = _refusal(export)
    now = [*app.streams.failures(), *([refused.message] if refused else [])]
    if now != unwritten:
        store.save_document({**document, "unwritten": now})
    if refused is not None:
        raise refused


def _refusal(export: Callable[[], None]) -> InfraError | None:
    try:
        export()
    except InfraError as error:
        return error
    return None
