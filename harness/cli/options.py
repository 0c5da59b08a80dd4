"""Options that several commands share, each written once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.app import make_app

F = TypeVar("F", bound=Callable[..., Any])


def common_options(command: F) -> F:
    """``--json``, ``--out``, ``-v`` and ``-q``; the command is given an ``App`` first."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    @click.option(
        "--out", type=click.Path(path_type=Path, file_okay=False), help="Put records into DIR."
    )
    @click.option("-v", "--verbose", is_flag=True, help="Tell more.")
    @click.option("-q", "--quiet", is_flag=True, help="Tell results only.")
    @functools.wraps(command)
    def wrapped(
        *args: Any, as_json: bool, out: Path | None, verbose: bool, quiet: bool, **rest: Any
    ) -> Any:
        app = make_app(as_json=as_json, out=out, verbosity=verbose - quiet)
        return command(app, *args, **rest)

    return wrapped  # type: ignore[return-value]
