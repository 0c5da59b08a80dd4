"""The harness's command line, run as its users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Document(dict[str, Any]):
    """A document of ``--json``; a missing key fails the test with the command's output."""

    def __missing__(self, key: str) -> Any:
        raise AssertionError(f"the document has no {key}: {dict(self)}")


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    document: Document
    told: str

    def cells(self) -> dict[str, dict[str, Any]]:
        return {cell["name"]: cell for cell in self.document["cells"]}

    def outcomes(self) -> dict[str, str]:
        return {
            name: cell["verdict"]["outcome"] if cell["verdict"] else cell["error"]
            for name, cell in self.cells().items()
        }


def harness(
    *words: str | Path, out: Path, env: Mapping[str, str] | None = None, guest: str = ""
) -> Answer:
    """Run ``harness`` with ``--json``; a command that says nothing on stdout fails the test.

    ``guest`` is a command line for the guest.
    """
    program = [sys.executable, "-c", "from harness.cli.main import main; main()"]
    finished = subprocess.run(
        [
            *program,
            *map(str, words),
            "--json",
            "--out",
            str(out),
            *(["--", guest] if guest else []),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=dict(env) if env is not None else None,
    )
    assert finished.stdout, finished.stderr
    document = Document(json.loads(finished.stdout))
    return Answer(finished.returncode, document, finished.stderr)
