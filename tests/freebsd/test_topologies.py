"""What a real kernel says of its domains, CPUs, memory and distances is what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from harness_command import harness

from harness.guest.vmconfig import load_vmconfig, vmconfig_names
from harness.outcome import Outcome
from harness.sanitizers import KMSAN, Sanitizers
from harness.subsystems.table import cases

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(1200)]

#: Booted in every run; the others are for the long tier.
SHORT = ("uneven-kasan", "memoryless-kasan", "interleaved-kasan")


def of_this_tree(name: str) -> bool:
    """KMSAN came with FreeBSD 14; those guests are tested on a newer tree."""
    return load_vmconfig(name).sanitizers != Sanitizers({KMSAN})


def boots(name: str) -> bool:
    """Some are there for a bug that ends a boot; ``test_cases.py`` boots those."""
    return all(
        shown.outcome is Outcome.BOOTED
        for case in cases().values()
        if case.vm == name and case.command[0] == "boot"
        for shown in case.shown
    )


LAYOUTS = [name for name in vmconfig_names() if of_this_tree(name) and boots(name)]
"""The guests on which a good kernel of this tree boots."""


@pytest.mark.parametrize(
    "name",
    [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in LAYOUTS],
)
def test_the_guest_sees_the_machine_that_its_file_describes(
    name: str, freebsd_tree: Path, tmp_path: Path
) -> None:
    until = "mountroot" if name == "memoryless-kasan" else "init"
    words = ("--source", freebsd_tree, "--vm", name, "--until", until)
    answer = harness("boot", *words, out=tmp_path)
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == "booted", answer.told
    assert cell["report"]["domains"] == len(load_vmconfig(name).topology.guest_domains())
    assert cell["disagreements"] == []
    proves_itself(cell)
    assert answer.code == 0


def proves_itself(cell: Mapping[str, Any]) -> None:
    """The kernel that ran has the build id, the sanitizer and the banner of the file."""
    verification, report = cell["verification"], cell["report"]
    assert cell["verified"], verification["doubts"]
    assert verification["banner"] == "expected"
    assert len(verification["build_id"]) == 40
    assert report["build_id"] == verification["build_id"]
    sanitizers = [] if cell["sanitizer"] == "none" else [cell["sanitizer"].upper()]
    assert report["sanitizers"] == verification["sanitizers"] == sanitizers
