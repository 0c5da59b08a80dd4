"""A kernel that QEMU starts by itself does what it does after firmware and loader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from harness_command import harness
from test_topologies import LAYOUTS

from harness.guest.vmconfig import load_vmconfig
from harness.host.workspace import Workspace

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(1200)]

PANIC = "vm_map_entry_create: kernel resources exhausted"
DIRECT = ("--boot", "direct")

#: FreeBSD keeps for itself what firmware and loader have left: less than this differs, in pages.
FIRMWARE_PAGES = 16 * 1024


def boot(tree: Path, out: Path, *words: str) -> dict[str, Any]:
    answer = harness("boot", "--source", tree, *words, out=out)
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == "booted", answer.told
    assert cell["disagreements"] == []
    return dict(cell)


def agrees_with_the_model(tree: Path, out: Path, method: str, *words: str) -> None:
    answer = harness(
        "check", "--source", tree, "--subsystem", "uma", "--on", "guest", "--kasan", *words, out=out
    )
    (cell,) = answer.document["cells"]
    assert cell["check"]["conclusion"] == "agreed", answer.told
    assert cell["boot"] == method


@pytest.mark.parametrize("backend", ["qemu", "libvirt"])
def test_without_the_commit_it_panics_in_kmem_init_and_with_it_it_boots(
    freebsd_tree: Path, tmp_path: Path, backend: str
) -> None:
    answer = harness(
        "compare", "--source", freebsd_tree, "--mutant", "drop-commit", "--numa", "2", "--kasan",
        "--backend", backend, *DIRECT, out=tmp_path,
    )  # fmt: skip
    assert answer.code == 0, answer.told
    before = answer.cells()["before-kasan-numa2"]
    assert before["verdict"]["title"] == PANIC
    assert before["boot"] == "direct"
    assert before["stages"].keys() == {"firmware", "kernel"}
    assert "kmem_init" in [frame["function"] for frame in before["verdict"]["symbolized"]]


def test_it_sees_the_machine_that_it_sees_after_the_loader(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    loaded, direct = (
        boot(freebsd_tree, tmp_path / way, "--numa", "2", "--kasan", "--boot", way)["report"]
        for way in ("loader", "direct")
    )
    for fact in ("release", "osreldate", "domains", "cpus", "distances", "tables"):
        assert direct[fact] == loaded[fact], fact
    for domain, memory in loaded["memory"].items():
        assert abs(direct["memory"][domain]["pages"] - memory["pages"]) < FIRMWARE_PAGES


def test_a_check_starts_its_guest_directly(freebsd_tree: Path, tmp_path: Path) -> None:
    agrees_with_the_model(freebsd_tree, tmp_path, "direct", "--numa", "2", "--ops", "100")


def test_the_loader_loads_the_check_module_where_it_is_asked_for(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    words = ("--numa", "2", "--ops", "100", "--boot", "loader")
    agrees_with_the_model(freebsd_tree, tmp_path, "loader", *words)


def test_a_kernel_file_needs_no_loader_that_was_built_before(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    kernel = Path(Workspace.of_user().cache / "kernels" / built(freebsd_tree, tmp_path) / "kernel")
    empty = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    answer = harness(
        "boot", "--kernel", kernel, "--numa", "2", *DIRECT, out=tmp_path, env=empty
    )  # fmt: skip
    assert list(answer.outcomes().values()) == ["booted"], answer.told


def built(tree: Path, out: Path) -> str:
    return str(boot(tree, out, "--numa", "2", "--kasan", *DIRECT)["kernel"]["key"])


@pytest.mark.long
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_boots_so(name: str, freebsd_tree: Path, tmp_path: Path) -> None:
    cell = boot(freebsd_tree, tmp_path, "--vm", name, *DIRECT)
    assert cell["report"]["domains"] == len(load_vmconfig(name).topology.guest_domains())


@pytest.mark.long
@pytest.mark.parametrize("sanitizer", ["--kasan", "--kmsan"])
def test_a_newer_releases_sanitized_kernels_boot_so(
    newer_tree: Path, tmp_path: Path, sanitizer: str
) -> None:
    answer = harness(
        "boot", "--source", newer_tree, "--numa", "4", sanitizer, "--repeat", "3", *DIRECT,
        "--tunable", "debug.kmsan.panic_on_violation=0", out=tmp_path,
    )  # fmt: skip
    for cell in answer.cells().values():
        assert cell["report"] is not None, answer.told
        assert cell["disagreements"] == []


@pytest.mark.long
def test_a_newer_releases_module_is_linked_by_the_kernel(newer_tree: Path, tmp_path: Path) -> None:
    agrees_with_the_model(newer_tree, tmp_path, "direct", "--numa", "4", "--ops", "300")
