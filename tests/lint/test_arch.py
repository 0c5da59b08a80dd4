"""What is particular to an architecture stands in its row of ``harness.arch``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness
from harness.arch import TABLE
from harness.architecture import Architecture
from harness.host.resources import data_file

PACKAGE = Path(harness.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)

PARTICULAR = re.compile(
    r"\b(?:amd64|i386|x86|x86_64|x64|q35|ovmf|bootx64|isa-\w+|com[1-4]|uart\.[01]|em_x86_64"
    r"|r(?:[abcd]x|[sd]i|[sbi]p)|cr[0234]|rdrand|popcnt|(?:x2)?apic)\b",
    re.IGNORECASE | re.ASCII,
)

CONSOLE = {
    # what EDK II, the loader and FreeBSD's kernels print, and the files of FreeBSD that print it
    "bootpatterns.py": {"X64 Exception", "stand/i386/"},
    "patterns.py": {"Duplicate local APIC ID"},
    "frames.py": {"i386 prints arguments"},
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_but_the_table_names_an_architecture(source: Path) -> None:
    if source == PACKAGE / "arch.py":
        return
    text = source.read_text("utf-8")
    if source.parent.name == "console":
        for real in CONSOLE.get(source.name, set()):
            text = text.replace(real, "")
    found = [line for line in text.splitlines() if PARTICULAR.search(line)]
    assert not found


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_a_row_names_is_there(row: Architecture) -> None:
    for directory in ("minimal", "kmod", "kernconf", "accelprobe"):
        assert data_file("images", directory, row.name).is_dir()
    assert (row.direct is None) or data_file("images", "directboot", row.name).is_dir()


ASSEMBLY = re.compile(r"\b(?:__)?asm\b|\b(?:in|out)[bwl]\(")
SHARED = (
    [
        path
        for directory in ("minimal", "kmod")
        for path in sorted(data_file("images", directory).glob("*.[chS]"))
    ]
    + sorted(PACKAGE.glob("subsystems/*/c/*.[ch]"))
    + sorted(PACKAGE.glob("subsystems/*/c/init/*.[ch]"))
)


@pytest.mark.parametrize("source", SHARED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_c_of_all_architectures_has_no_instructions_of_one(source: Path) -> None:
    """``ENTER_RUN`` of ``machine.h`` is a row's own."""
    lines = [line for line in source.read_text().splitlines() if ASSEMBLY.search(line)]
    assert not [line for line in lines if "ENTER_RUN" not in line]
