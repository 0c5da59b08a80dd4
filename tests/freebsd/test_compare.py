"""The commit's own effect, on kernels built from the configured tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

from harness.console.symbolize import find_program
from harness.host.workspace import Workspace

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(2400)]

PANIC = "vm_map_entry_create: kernel resources exhausted"


def compare(tree: Path, numa: str, out: Path, *more: str) -> Answer:
    return harness(
        "compare", "--source", tree, "--mutant", "drop-commit", "--numa", numa, "--kasan", *more,
        out=out,
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(freebsd_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    return compare(freebsd_tree, "1,2", tmp_path_factory.mktemp("runs"))


def test_without_the_commit_two_nodes_panic_and_one_boots(compared: Answer) -> None:
    assert compared.outcomes() == {
        "before-kasan-numa1": "booted",
        "before-kasan-numa2": "panic",
        "after-kasan-numa1": "booted",
        "after-kasan-numa2": "booted",
    }, compared.told
    assert compared.code == 0


def test_the_panic_is_the_commits_own_and_comes_out_of_kmem_init(compared: Answer) -> None:
    verdict = compared.cells()["before-kasan-numa2"]["verdict"]
    assert verdict["title"] == PANIC
    assert "kmem_init" in [frame["function"] for frame in verdict["symbolized"]]


def test_every_frame_is_what_llvm_symbolizer_says_of_the_debug_kernel(compared: Answer) -> None:
    cell = compared.cells()["before-kasan-numa2"]
    debug = kernel_directory(cell) / "kernel.debug"
    symbols = symbol_addresses(debug)
    roots = cell["kernel"]["source_roots"]
    for frame, told in zip(cell["verdict"]["frames"], cell["verdict"]["symbolized"], strict=True):
        address = symbols[frame["function"]] + frame["symbol_offset"] - 1
        assert lines_of(told) == by_hand(debug, address, roots), frame


def kernel_directory(cell: dict[str, Any]) -> Path:
    return Workspace.of_user().cache / "kernels" / str(cell["kernel"]["key"])


def symbol_addresses(debug: Path) -> dict[str, int]:
    nm = find_program().replace("llvm-symbolizer", "llvm-nm")
    listing = subprocess.run([nm, debug], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3 and row[1] in "tT"}


def by_hand(debug: Path, address: int, roots: list[str]) -> list[str]:
    """``function file:line`` for the place and its inlined callers, innermost first."""
    printed = subprocess.run(
        [find_program(), f"--obj={debug}", "--inlines", "--output-style=GNU", hex(address)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    lines = [line for line in printed.splitlines() if line and not line.startswith("0x")]
    places = zip(lines[::2], lines[1::2], strict=True)
    return [f"{function} {shortened(place, roots)}" for function, place in places]


def shortened(place: str, roots: list[str]) -> str:
    path, line = re.match(r"(.*?):(\d+)", place).groups()  # type: ignore[union-attr]
    for root in roots:
        path = path.removeprefix(f"{root}/")
    return f"{path}:{line}"


def lines_of(frame: dict[str, Any]) -> list[str]:
    places = [*frame["inlined"], frame]
    return [f"{place['function']} {place['file']}:{place['line']}" for place in places]


@pytest.mark.long
@pytest.mark.parametrize("backend", ["qemu", "libvirt"])
def test_both_backends_tell_the_same_story_on_one_two_and_four_nodes(
    freebsd_tree: Path, tmp_path: Path, backend: str
) -> None:
    answer = compare(freebsd_tree, "1,2,4", tmp_path, "--backend", backend)
    assert answer.code == 0, answer.told
    titles = {
        name: cell["verdict"]["title"]
        for name, cell in answer.cells().items()
        if cell["verdict"]["outcome"] == "panic"
    }
    assert titles == {"before-kasan-numa2": PANIC, "before-kasan-numa4": PANIC}


@pytest.mark.long
def test_srat_and_slit_in_the_guest_are_equal_under_both_backends(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    tables = [
        next(iter(
            harness("boot", "--source", freebsd_tree, "--vm", "distances-kasan",
                    "--backend", backend, out=tmp_path).cells().values()
        ))["report"]["tables"]
        for backend in ("qemu", "libvirt")
    ]  # fmt: skip
    assert set(tables[0]) == {"SRAT", "SLIT"}
    assert tables[0] == tables[1]
