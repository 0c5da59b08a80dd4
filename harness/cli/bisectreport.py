"""What ``harness bisect`` says at the end, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.cli.publish import publish
from harness.host.workspace import make_folder, write_atomic
from harness.results.bisect import bisect_lines, to_bisect_document
from harness.results.html import bisect_html
from harness.results.store import kept_cells

if TYPE_CHECKING:
    from harness.bisect.findings import Findings
    from harness.cli.app import App
    from harness.results.store import Store


def tell(app: App, findings: Findings, store: Store, begun: Mapping[str, Any]) -> int:
    """Keep the record and tell the user; gives the exit code.

    Args:
        app: the host and the user.
        findings: what it came to.
        store: of records.
        begun: the record as long as there was no answer.

    Raises:
        InfraError: the record cannot be written.
    """
    folder = store.folder / str(begun["name"])
    document = {
        **begun,
        "owner": None,
        "exit_code": findings.exit_code,
        "state": "ended",
        "cells": kept_cells(folder),
        "bisect": to_bisect_document(findings),
    }
    lines = list(bisect_lines(document))
    make_folder(folder)
    write_atomic(folder / "report.txt", "".join(f"{line}\n" for line in lines))
    write_atomic(folder / "report.html", bisect_html(document, folder))

    def show() -> None:
        for line in lines:
            app.paper.print(line, markup=False, soft_wrap=True)

    publish(app, store, document, show)
    return findings.exit_code
