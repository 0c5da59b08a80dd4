"""Which sources a subsystem's check module is assembled from, and how its file is named."""

from __future__ import annotations

import pytest

from harness.host.resources import subsystem_sources
from harness.kernel.module import module_file, module_sources, modules_among
from harness.subsystems.table import SUBSYSTEMS

NAMES = [subsystem.name for subsystem in SUBSYSTEMS]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_has_the_generic_part_and_one_subsystems(name: str) -> None:
    sources = module_sources(name)
    assert {"Makefile", "protocol.c", "worker.c", f"{name}.mk"} <= {path.name for path in sources}
    others = {subsystem_sources(other) for other in NAMES if other != name}
    assert not others & {path.parent for path in sources}


@pytest.mark.parametrize("name", NAMES)
def test_programs_of_the_host_are_no_part_of_it(name: str) -> None:
    host = subsystem_sources(name) / "host"
    assert not any(path.is_relative_to(host) for path in module_sources(name))


@pytest.mark.parametrize("name", NAMES)
def test_no_two_of_its_sources_have_one_name_as_they_are_built_in_one_directory(
    name: str,
) -> None:
    names = [path.name for path in module_sources(name)]
    assert len(names) == len(set(names))


def test_a_file_is_known_by_its_subsystem_and_only_if_its_sources_are_todays() -> None:
    today = {name: module_file(name) for name in NAMES}
    older = [f"harness_check-{name}-{'0' * 12}.ko" for name in NAMES]
    odd = ["kernel", "harness_check-0123456789ab.ko", "harness_check-no_such-0123456789ab.ko",
           "harness_check-../uma-0123456789ab.ko"]  # fmt: skip
    assert modules_among([*older, *odd, *today.values()]) == today
