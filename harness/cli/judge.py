"""``harness judge``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from harness.cli.options import common_options, junit_option, kernel_option
from harness.errors import InfraError, UsageError, cause_of
from harness.outcome import Until
from harness.results.lines import print_line
from harness.results.logs import (
    JudgedLog,
    log_lines,
    to_log_document,
    worst_exit_code,
)

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.console.symbolize import Symbolizer

_STDIN = "-"
_BLOCK = 1 << 20

#: First bytes of compressed files, and the commands that decompress them.
_PACKED = (
    (b"\x1f\x8b", "gzip -dc"),
    (b"\xfd7zXZ\0", "xz -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd -dc"),
    (b"BZh", "bzip2 -dc"),
    (b"PK\x03\x04", "unzip -p"),
)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@kernel_option
@click.option(
    "--until",
    type=click.Choice([until.value for until in Until]),
    default=Until.MOUNTROOT.value,
    show_default=True,
    help="Stage that the boot must reach; a login prompt counts, too.",
)
@junit_option
@common_options
def judge(
    app: App, files: tuple[str, ...], *, kernel: Path | None, until: str, junit: Path | None
) -> int:
    """Report what a console log shows: outcome, title, backtrace, warnings.

    FILE is a serial log, a dmesg or a CI artifact; '-' is standard input. Nothing is built or
    booted, and no tree is needed. Exit status: 0 booted, 1 the kernel failed, 3 the log shows
    neither (it stops, or ends in the loader or the firmware); of several files, 1 takes
    precedence over 3, and 3 over 0.

    \b
    Examples:
      harness judge serial.log
      harness judge --kernel kernel.debug --junit judged.xml *.log
      dmesg | harness judge --json -
    """
    for file in files:
        _check(file, files)
    symbolizer = _symbolizer(app, kernel) if kernel else None
    logs = [_judged(app, file, Until(until), symbolizer) for file in files]
    for log in logs:
        for line in log_lines(log):
            print_line(app.paper, line)
    app.emit(to_log_document(logs))
    if junit is not None:
        from harness.results.junit import write_log_junit

        write_log_junit(logs, junit)
    return worst_exit_code(logs)


def _check(file: str, files: tuple[str, ...]) -> None:
    """Refuse a file that cannot be read, before anything is printed."""
    if file == _STDIN:
        if files.count(_STDIN) > 1:
            raise UsageError("standard input is given twice", remedy="name - once")
        return
    path = Path(file)
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a pipe can be read only once
    with _opened(file) as stream:
        _refuse_packed(file, stream.read(8))


def _refuse_packed(file: str, start: bytes) -> None:
    for magic, program in _PACKED:
        if start.startswith(magic):
            raise UsageError(
                f"{file} is compressed", remedy=f"decompress it: {program} {file} | harness judge -"
            )


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == _STDIN:
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot read {file}: {cause_of(error).lower()}",
            remedy="name a file with a console log",
        ) from error
    with stream:
        yield stream


def _blocks(file: str) -> Iterator[bytes]:
    with _opened(file) as stream:
        try:
            while block := stream.read(_BLOCK):
                yield block
        except OSError as error:
            raise InfraError(
                f"cannot read {file}: {error.strerror}", remedy="check the host's log: dmesg"
            ) from error


def _symbolizer(app: App, kernel: Path) -> Symbolizer:
    from harness.console.symbolize import Symbolizer, find_program

    if not kernel.is_file():
        raise UsageError(
            f"there is no file {kernel}", remedy="pass kernel.full or kernel.debug: --kernel FILE"
        )
    symbolizer = Symbolizer(app.runner, kernel, find_program())
    _ = symbolizer.symbols  # raises if it is not a kernel
    return symbolizer


def _judged(app: App, file: str, until: Until, symbolizer: Symbolizer | None) -> JudgedLog:
    from harness.boot.logs import judge_log

    return JudgedLog(file, judge_log(_blocks(file), until, symbolizer))
