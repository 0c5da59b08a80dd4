"""Conversions of disk images by qemu-img, which runs in the builds' sandbox."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError, UsageError
from harness.host.sandbox import Sandbox
from harness.host.workspace import make_directory
from harness.imported.given import MOST_BYTES, beginning
from harness.imported.qcow2 import HEADER_BYTES, MAGIC, parse_header

if TYPE_CHECKING:
    from harness.host.process import Runner

_SECONDS: Final = 3600.0
"""Timeout of a conversion."""


def raw_disk(path: Path, name: str, scratch: Path, runner: Runner, *, sandboxed: bool) -> Path:
    """Return an image as a raw file: itself, or a converted copy of a qcow2 file.

    Args:
        path: the image.
        name: its name in errors.
        scratch: a directory for the copy.
        runner: starts qemu-img.
        sandboxed: whether it runs in the builds' sandbox.

    Raises:
        UsageError: the image is damaged, needs another file, or is too large.
        InfraError: qemu-img is not installed, or the disk is full.
    """
    if not beginning(path).startswith(MAGIC):
        return path
    header = parse_header(beginning(path, HEADER_BYTES), name)
    if header.size > MOST_BYTES:
        raise UsageError(
            f"the image {name} has more than {MOST_BYTES >> 30} GiB", remedy="name a smaller one"
        )
    out = scratch / "raw"
    make_directory(out)

    def qemu_img(*words: str | Path) -> tuple[int, str]:
        command: list[str | Path] = ["qemu-img", *words]
        if sandboxed:
            command = Sandbox((path.resolve(),), (out,)).words(command, out)
        ended = runner.run(command, deadline=_SECONDS, check=False)
        return ended.returncode, (ended.text + ended.stderr.decode("utf-8", "replace"))[-300:]

    image = path.resolve()
    # A file that was cut off is read as if zeros followed; the check counts what lies behind.
    status, words = qemu_img("check", "-f", "qcow2", image)
    if status != 0:
        raise UsageError(
            f"the image {name} is damaged, as qemu-img check found out", remedy="fetch it again",
            detail=words,
        )  # fmt: skip
    disk = out / "disk.raw"
    status, words = qemu_img("convert", "-f", "qcow2", "-O", "raw", image, disk)
    if status != 0:
        if shutil.disk_usage(out).free < 1 << 20:
            raise InfraError(
                f"the disk of {out} is full", remedy="free some space, such as with harness gc"
            )
        raise UsageError(
            f"the image {name} cannot be converted", remedy="fetch it again", detail=words
        )
    return disk


def flattened(overlay: Path, base: Path, target: Path, runner: Runner) -> None:
    """Write an overlay and the raw file below it into a qcow2 file of its own.

    What the overlay's own header names as its backing file is ignored.

    Raises:
        InfraError: qemu-img failed, or the disk is full.
    """
    node = {
        "driver": "qcow2",
        "file": {"driver": "file", "filename": str(overlay)},
        "backing": {"driver": "raw", "file": {"driver": "file", "filename": str(base)}},
    }
    runner.run(
        ["qemu-img", "convert", "-O", "qcow2", f"json:{json.dumps(node)}", target],
        deadline=_SECONDS,
    )
