"""Which functions of a real tree explain a panic (``harness.console.machinery``)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cedit.definitions import definitions
from harness.console.machinery import is_machinery

pytestmark = pytest.mark.freebsd

#: What sysctl(9) and DDB call is what somebody asked for.
ASKED_FOR = re.compile(r"(?:sysctl|debug)_\w+|DB_SHOW_\w+|get_\w+_stats", re.ASCII)


@pytest.mark.parametrize("path", ["sys/vm/uma_core.c", "sys/vm/uma_dbg.c", "sys/kern/subr_vmem.c"])
def test_an_allocators_functions_explain_no_panic_but_who_called_them(
    freebsd_tree: Path, path: str
) -> None:
    names = definitions((freebsd_tree / path).read_bytes())
    assert len(names) > 3
    assert [each for each in names if not (ASKED_FOR.fullmatch(each) or is_machinery(each))] == []


def test_what_stands_between_a_trap_and_its_panic_explains_none(freebsd_tree: Path) -> None:
    """Of every architecture: the functions that get the trap's frame, and may panic."""
    files = [
        file
        for pattern in ("trap*.c", "undefined.c")
        for file in freebsd_tree.glob(f"sys/*/*/{pattern}")
        if file.parent.name in ("amd64", "arm", "arm64", "i386", "powerpc", "riscv")
    ]
    named = {
        name: file.name
        for file in files
        for name, each in definitions(file.read_bytes()).items()
        if b"struct trapframe *" in each.text and b"panic(" in each.text
    }
    assert len(named) > 10
    ours = {"syscall"}  # it begins what a program asked for
    assert {name: file for name, file in named.items() if not is_machinery(name)}.keys() <= ours
