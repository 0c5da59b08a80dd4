"""What ``harness bisect`` says at the end, and what it leaves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.cli.publish import publish
from harness.host.workspace import make_folder, write_atomic
from harness.results.bisect import bisect_lines, to_bisect_document
from harness.results.html import bisect_html
from harness.results.record import SCHEMA
from harness.results.schema import wrong_with_cell
from harness.results.store import damaged, is_own, read_document

if TYPE_CHECKING:
    from harness.bisect.findings import Findings
    from harness.cli.app import App
    from harness.results.store import Store


def tell(app: App, findings: Findings, store: Store, folder: Path, started: str) -> int:
    """Keep the record and tell the user; gives the exit code.

    Args:
        app: the host and the user.
        findings: what it came to.
        store: of records.
        folder: the run's.
        started: when it began; ISO 8601.

    Raises:
        InfraError: the record cannot be written.
    """
    document = {
        "schema": SCHEMA,
        "name": folder.name,
        "command": sys.argv[1:],
        "started": started,
        "harness": __version__,
        "exit_code": findings.exit_code,
        "cells": _cells(folder),
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


def _cells(folder: Path) -> list[Any]:
    """What the tests have left, in order.

    Raises:
        UsageError: one of it is damaged.
    """
    documents = []
    for path in filter(is_own, sorted(folder.glob("*/cell.json"))):
        document = read_document(path)
        if wrong := wrong_with_cell(document):
            raise damaged(path, wrong)
        documents.append(document)
    return documents
