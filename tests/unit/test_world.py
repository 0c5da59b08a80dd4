"""What a world contains, which of its services start, and which kernels run it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.world.config import (
    DEFAULT_SUITES,
    Services,
    WorldKind,
    covers,
    suite_candidates,
    world_config,
)
from harness.world.fit import number, require_fitting, serving
from harness.world.image import WorldIdentity
from harness.world.layout import REPORTER, own_files, script_modes, started
from harness.world.metalog import FileEntry


def world_of(release: str) -> WorldIdentity:
    return WorldIdentity(
        "0" * 40, "tree", "label", None, "tree", dirty=False, overlaid=(), release=release,
        kind="slim", suites=(), services="few", compiler="clang",
    )  # fmt: skip


def test_a_world_of_tests_has_suites_and_kyua() -> None:
    config = world_config(WorldKind.TESTS)
    assert config.suites == tuple(sorted(DEFAULT_SUITES))
    assert "WITH_TESTS_SUPPORT=yes" in config.src_conf
    assert "WITHOUT_TESTS=yes" in config.src_conf
    assert "WITHOUT_TESTS=" not in config.suites_conf


def test_services_do_not_change_what_is_built() -> None:
    few, every = (world_config(WorldKind.SLIM, (), services) for services in Services)
    assert few.digest == every.digest


@pytest.mark.parametrize("suite", ["../etc", "tests/../../x", "/tests/sys/vm", "-f", "a b", ""])
def test_a_suite_is_a_directory_of_the_tree(suite: str) -> None:
    with pytest.raises(UsageError, match="is not a suite"):
        world_config(WorldKind.TESTS, (suite,))


def test_a_slim_world_has_no_suites() -> None:
    with pytest.raises(UsageError, match="no kyua"):
        world_config(WorldKind.SLIM, ("tests/sys/vm",))


PATHS = ["etc/rc.d/sshd", "etc/rc.d/cron", "etc/rc.d/harness_ready", "etc/rc.conf", "bin/sh"]


def test_few_services_leave_a_few_scripts_executable() -> None:
    entries = {entry.path: entry for entry in script_modes(PATHS, Services.FEW)}
    assert {path: entry.mode for path, entry in entries.items()} == {
        "etc/rc.d/sshd": "0555", "etc/rc.d/cron": "0444", "etc/rc.d/harness_ready": "0555",
    }  # fmt: skip
    assert started(entries) == ("harness_ready", "sshd")


def test_all_services_leave_every_script_as_it_is() -> None:
    assert script_modes(PATHS, Services.ALL) == []


def test_private_keys_can_be_read_by_root_only() -> None:
    files = own_files(Path("init"), Path("host_key"), Path("key.pub"))
    modes = {file.entry.path: file.entry.mode for file in files}
    assert modes["etc/ssh/ssh_host_ed25519_key"] == modes["root/.ssh/authorized_keys"] == "0600"
    assert modes[REPORTER] == "0555"
    assert all(file.entry.owner == "root" for file in files)


def test_own_files_are_the_same_for_each_image() -> None:
    one, other = (own_files(Path("init"), Path("host_key"), Path("key.pub")) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("release", "numbers"),
    [("15.1-RELEASE-p1", (15, 1)), ("13.2-RELEASE", (13, 2)), ("16.0-CURRENT", (16, 0)),
     ("", (0, 0)), ("x15.1", (0, 0))],
)  # fmt: skip
def test_a_release_has_two_numbers(release: str, numbers: tuple[int, int]) -> None:
    assert number(release) == numbers


def test_a_kernel_of_an_older_release_than_the_world_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a kernel of 13\.2-RELEASE cannot run .* 15\.1-RELEASE"):
        require_fitting("13.2-RELEASE", world_of("15.1-RELEASE"))


@pytest.mark.parametrize(
    "kernel", ["15.1-RELEASE", "15.1-BETA1", "15.1-RELEASE-p3", "16.0-CURRENT"]
)
def test_kernels_of_the_release_and_newer_ones_run_the_world(kernel: str) -> None:
    require_fitting(kernel, world_of("15.1-RELEASE-p1"))


def test_a_file_entry_is_a_line_of_mtree() -> None:
    entry = FileEntry("a/b", "link", link="../c")
    assert entry.line == "./a/b type=link uname=root gname=wheel mode=0644 link=../c"


def test_a_world_that_contains_more_serves_one_that_is_asked_for() -> None:
    slim, tests, full = (
        replace(world_of("15.1-RELEASE"), key=kind, kind=kind) for kind in ("slim", "tests", "full")
    )
    worlds = [full, replace(slim, source="elsewhere"), replace(slim, release="15.0"), tests, slim]
    assert serving(worlds, slim.source, (15, 1), WorldKind.SLIM) == [slim, tests, full]
    assert serving(worlds[:-1], slim.source, (15, 1), WorldKind.SLIM) == [tests, full]
    assert serving(worlds, slim.source, (15, 1), WorldKind.TESTS) == [tests]


@pytest.mark.parametrize(
    ("suite", "directories"),
    [
        ("sys/vm", ["tests/sys/vm", "sys/vm/tests", "sys/tests/vm"]),
        ("bin/sh/builtins", ["tests/bin/sh/builtins", "bin/sh/builtins/tests",
                             "bin/sh/tests/builtins", "bin/tests/sh/builtins"]),
    ],
)  # fmt: skip
def test_suite_is_searched_where_trees_have_suites(suite: str, directories: list[str]) -> None:
    assert suite_candidates(suite) == directories


def test_world_has_a_suite_below_one_of_its_own() -> None:
    assert covers(["tests/sys/kern"], "tests/sys/kern/acct")
    assert not covers(["tests/sys/kern"], "tests/sys/kernel")
