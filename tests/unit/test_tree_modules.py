"""Modules of a tree for kldload(8): their names, their volume, how a guest mounts it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.boot.modulevolume import module_volume, mount_command
from harness.errors import BuildError, UsageError
from harness.host.process import HostRunner
from harness.imported.ufs import open_ufs
from harness.kernel.treemodule import (
    built_tree_module,
    check_module_names,
    own_name,
    tree_module_file,
    tree_modules_among,
)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a/", "a b", "$(id)", "a\n", "ü", "-x"])
def test_name_that_is_no_directory_of_modules_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a module"):
        check_module_names(["dummynet", name])


def test_each_module_is_built_once() -> None:
    assert check_module_names(["usb/umass", "tmpfs", "usb/umass"]) == ("usb/umass", "tmpfs")


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,9}(/[a-z][a-z0-9_]{0,9})?", fullmatch=True)


@given(NAMES, st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True))
def test_kept_file_tells_its_module_and_its_own_name(name: str, built: str) -> None:
    kept = tree_module_file(name, f"{built}.ko")
    assert "/" not in kept
    assert tree_modules_among([kept, "kernel", "harness_check-uma-0123456789ab.ko"]) == {name: kept}
    assert own_name(kept) == f"{built}.ko"


@pytest.mark.parametrize("files", [[], ["a.ko", "b.ko"], ["a b.ko"]])
def test_build_that_makes_no_single_module_fails(tmp_path: Path, files: list[str]) -> None:
    for file in files:
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(BuildError):
        built_tree_module(tmp_path, "x")


def test_volume_has_the_modules_under_their_own_names(tmp_path: Path) -> None:
    kept = [tmp_path / tree_module_file(name, f"{name}.ko") for name in ("dummynet", "tmpfs")]
    for path in kept:
        path.write_bytes(path.name.encode() * 1000)
    disk = module_volume(kept, tmp_path / "guest", HostRunner())
    assert disk.read_only
    with disk.path.open("rb") as file:
        volume = open_ufs(file, 0, disk.path.stat().st_size)
        for path in kept:
            assert volume.read(own_name(path.name), 1 << 20) == path.read_bytes()


@pytest.mark.parametrize(
    ("mounted", "expected"),
    [
        ("/dev/vtbd1 /boot/modules ufs ro 0 0", []),
        ("/dev/vtbd0 / ufs rw 1 1\n/dev/vtbd2 /boot/modules2 ufs ro 0 0",
         ["-t ufs -o ro /dev/vtbd1 /boot/modules"]),
    ],
)  # fmt: skip
def test_volume_is_mounted_once(tmp_path: Path, mounted: str, expected: list[str]) -> None:
    program = tmp_path / "mount"
    table = shlex.quote(mounted)
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -p ] && echo {table} || echo "$@" >>{tmp_path}/mounted\n'
    )
    program.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["sh", "-c", mount_command("vtbd1")], check=True, env=path)
    found = tmp_path / "mounted"
    assert (found.read_text().splitlines() if found.exists() else []) == expected
