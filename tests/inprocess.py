"""Runs a command of the harness in this process, ten times as fast."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from command import Home, Said

from harness.cli import main


def call(home: Home, *words: str | Path, stdin: bytes = b"") -> Said:
    """Run a command with the home's environment."""
    stdout, stderr = (_stream() for _ in range(2))
    with (
        _environment(home),
        _stdin(stdin),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        code = main.run([*map(str, words)])
    return Said(code, *(_text(stream) for stream in (stdout, stderr)))


def _stream() -> io.TextIOWrapper:
    """Return a stream like those of ``harness.cli.streams``, which accept every character."""
    return io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    written = stream.detach()
    assert isinstance(written, io.BytesIO)
    return written.getvalue().decode("utf-8", "replace")


@contextlib.contextmanager
def _environment(home: Home) -> Iterator[None]:
    before, directory = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(home.env)
    os.chdir(home.directory)
    try:
        yield
    finally:
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _stdin(data: bytes) -> Iterator[None]:
    import sys

    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data), "utf-8")
    try:
        yield
    finally:
        sys.stdin = before
