"""Options that copy files into guests and out of them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import click

from harness.errors import UsageError

put_option = click.option(
    "--put", multiple=True, metavar="FILE:PATH",
    help="Copy a file or directory into the guest before; repeatable.",
)  # fmt: skip
get_option = click.option(
    "--get", multiple=True, metavar="PATH:FILE",
    help="Copy a file or directory from the guest afterwards; repeatable.",
)  # fmt: skip


def copies_in(values: tuple[str, ...]) -> tuple[tuple[Path, PurePosixPath], ...]:
    """Return files of the host, with their targets in the guest, of the values of ``--put``.

    Raises:
        UsageError: a value is not of two paths, or there is no such file.
    """
    pairs = [(Path(one), PurePosixPath(other)) for one, other in _pairs("--put FILE:PATH", values)]
    for path, _ in pairs:
        if not path.exists():
            raise UsageError(f"--put: there is no {path}", remedy="correct the path")
    return tuple(pairs)


def copies_out(values: tuple[str, ...]) -> tuple[tuple[PurePosixPath, Path], ...]:
    """Return files of the guest, with their targets on the host, of the values of ``--get``.

    Raises:
        UsageError: a value is not of two paths.
    """
    pairs = _pairs("--get PATH:FILE", values)
    return tuple((PurePosixPath(one), Path(other)) for one, other in pairs)


def _pairs(form: str, values: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for value in values:
        one, colon, other = value.rpartition(":")
        if not (one and colon and other):
            option = form.partition(" ")[0]
            raise UsageError(f"{option} {value}: two paths are needed", remedy=f"write {form}")
        pairs.append((one, other))
    return pairs
