"""Tools and objects of earlier builds: what is not as it was left is found out by its size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.kernel.leftovers import TOOLS, damaged, keep_sizes, object_sizes, sizes_below

DEEP = "[" * 200_000


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    for name in ("legacy/usr/bin/awk", "usr/include/a.h", "obj-tools/awk.o"):
        path = tmp_path / "tmp" / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    (tmp_path / "tmp/bin").mkdir()
    (tmp_path / "tmp/bin/link").symlink_to("/nowhere")
    return tmp_path / "tmp"


def test_what_is_as_it_was_is_not_damaged(tools: Path, tmp_path: Path) -> None:
    memory = tmp_path / "sizes"
    keep_sizes(sizes_below(tools, TOOLS), memory)
    assert damaged(sizes_below(tools, TOOLS), memory) == []
    (tools / "usr/include/new.h").touch()
    assert damaged(sizes_below(tools, TOOLS), memory) == []


def test_what_is_cut_or_missing_is_named(tools: Path, tmp_path: Path) -> None:
    memory = tmp_path / "sizes"
    keep_sizes(sizes_below(tools, TOOLS), memory)
    os.truncate(tools / "legacy/usr/bin/awk", 0)
    (tools / "bin/link").unlink()
    os.truncate(tools / "obj-tools/awk.o", 0)  # which only tools are made from
    assert damaged(sizes_below(tools, TOOLS), memory) == ["bin/link", "legacy/usr/bin/awk"]


def test_objects_of_a_kernel_are_its_own(tmp_path: Path) -> None:
    directory, memory = tmp_path / "HARNESS", tmp_path / "sizes"
    assert object_sizes(directory) == {}
    directory.mkdir()
    for name in ("uma_core.o", "kernel", "kernel.full", "vers.c", ".depend.uma_core.o"):
        (directory / name).write_text(name)
    keep_sizes(object_sizes(directory), memory)
    for path in directory.iterdir():
        os.truncate(path, 3)
    found = damaged(object_sizes(directory), memory)
    assert found == [".depend.uma_core.o", "kernel", "kernel.full", "uma_core.o"]


@pytest.mark.parametrize("text", [None, "", "[]", DEEP])
def test_without_a_memory_nothing_is_known_to_be_damaged(
    tools: Path, tmp_path: Path, text: str | None
) -> None:
    memory = tmp_path / "sizes"
    if text is not None:
        memory.write_text(text)
    assert damaged(sizes_below(tools, TOOLS), memory) == []
