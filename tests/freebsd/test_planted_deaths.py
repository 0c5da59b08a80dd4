"""Deaths that are no proof by themselves, planted into real kernels, and what repeats make of them.

The statements are planted when the test runs: nothing of the tree is kept here.
"""

from __future__ import annotations

import difflib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from command import own_qemu
from harness_command import Answer, harness

from harness.guest.firmware import find_firmware

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(3600)]

#: Where a statement is planted: the file, and the call that it follows.
EARLY = ("sys/amd64/amd64/machdep.c", "TSRAW(&thread0, TS_ENTER, __func__, NULL);")
LATE = ("sys/vm/vm_init.c", "\tdomainset_init();")

#: Before the kernel has handlers of its own, this resets the machine.
UNDEFINED = '__asm __volatile("ud2");'
FOREVER = 'for (;;) __asm __volatile("pause");'


def planted(tree: Path, spot: tuple[str, str], statement: str, directory: Path) -> Path:
    name, call = spot
    text = (tree / name).read_text("utf-8", "replace")
    assert call in text
    at = text.index("\n", text.index(call)) + 1
    changed = f"{text[:at]}\t{statement}\n{text[at:]}"
    before, after = (version.splitlines(keepends=True) for version in (text, changed))
    patch = directory / "planted.patch"
    patch.write_text("".join(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")))
    return patch


def boot(tree: Path, out: Path, *words: str | Path, **env: str) -> tuple[Answer, dict[str, Any]]:
    fixed = ("boot", "--source", tree, "--numa", "2", "--kasan", "--accelerator", "tcg")
    answer = harness(*fixed, *words, out=out, env={**os.environ, **own_qemu(**env)})
    (cell,) = answer.document["cells"]
    return answer, cell


def repeats(cell: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["purpose"], one["boot"], one["outcome"]) for one in cell["repeats"]]


@pytest.mark.parametrize("method", ["loader", "direct"])
def test_a_kernel_that_dies_before_its_banner_does_so_both_ways_while_another_boots(
    freebsd_tree: Path, tmp_path: Path, method: str
) -> None:
    patch = planted(freebsd_tree, EARLY, UNDEFINED, tmp_path)
    answer, cell = boot(freebsd_tree, tmp_path, "--patch", patch, "--boot", method)
    assert (answer.code, cell["verdict"]["outcome"]) == (1, "reset"), answer.told
    other = "direct" if method == "loader" else "loader"
    assert repeats(cell) == [("repeat", other, "reset"), ("control", "direct", "booted")]


def test_a_hang_of_the_direct_start_is_repeated_through_the_loader(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    patch = planted(freebsd_tree, LATE, FOREVER, tmp_path)
    words = ("--patch", patch, "--boot", "direct", "--timeout", "15")
    answer, cell = boot(freebsd_tree, tmp_path, *words)
    assert (answer.code, cell["verdict"]["outcome"]) == (1, "hang"), answer.told
    assert repeats(cell) == [("repeat", "loader", "hang")]


QEMU = "qemu-system-x86_64"

#: Resets machines whose kernel is started directly: their processor has no long mode.
NO_DIRECT = """
case "$*" in *-kernel*) set -- "$@" -cpu max,-lm ;; esac
exec {qemu} "$@"
"""

#: No firmware, but as many zeroes.
NO_FIRMWARE = """
head -c 2097152 /dev/zero > {directory}/zeroes
count=$#
while [ "$count" -gt 0 ]; do
    word=$(printf %s "$1" | sed 's|{firmware}|{directory}/zeroes|')
    shift; count=$((count - 1))
    set -- "$@" "$word"
done
exec {qemu} "$@"
"""


def wrapped(directory: Path, text: str) -> str:
    program = directory / "bin" / QEMU
    program.parent.mkdir()
    qemu, firmware = str(shutil.which(QEMU)), str(find_firmware())
    body = text.format(qemu=qemu, firmware=firmware, directory=directory)
    program.write_text(f"#!/bin/sh\n{body}")
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def test_a_good_kernel_without_a_working_firmware_is_not_to_blame(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    path = wrapped(tmp_path, NO_FIRMWARE)
    answer, cell = boot(freebsd_tree, tmp_path, "--boot", "loader", "--timeout", "10", PATH=path)
    assert answer.code == 3, answer.told
    assert cell["host_failed"]
    assert cell["repeats"] == []


def test_a_good_kernel_that_only_the_direct_start_kills_is_not_to_blame(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    path = wrapped(tmp_path, NO_DIRECT)
    answer, cell = boot(freebsd_tree, tmp_path, "--boot", "direct", PATH=path)
    assert answer.code == 3, answer.told
    assert cell["host_failed"]
