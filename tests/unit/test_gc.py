"""The cache within its size, and what is in use."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from harness.cli.main import run
from harness.errors import InfraError, UsageError
from harness.history.migrate import migrate, newest_schema
from harness.host.cachesize import (
    CacheEntry,
    choose,
    collect,
    disk_usage,
    format_size,
    parse_size,
)
from harness.host.inuse import claimed, in_use
from harness.host.process import HostRunner
from harness.host.workspace import Workspace

KIB = 1024
BLOCKS = 64 * KIB

Fill = Callable[[str, int], Path]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace that the command line uses, too."""
    for name in ("CACHE_HOME", "STATE_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    return Workspace.of_user()


@pytest.fixture
def fill(workspace: Workspace) -> Fill:
    """Puts a directory of 64 KiB into the cache that was last used so many seconds after 1970."""

    def make(name: str, used: int) -> Path:
        directory = workspace.cache / name
        directory.mkdir(parents=True)
        (directory / "content").write_bytes(os.urandom(BLOCKS))
        os.utime(directory, (used, used))
        return directory

    return make


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("500M", 500 << 20),
        ("20G", 20 << 30),
        ("20g", 20 << 30),
        ("1.5 TiB", 3 << 39),
        ("4KB", 4096),
        ("7B", 7),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1,5G", "20 giga", "1e9", "nan", "9" * 400])
def test_what_is_no_size_is_the_users_fault(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size") as caught:
        parse_size(text)
    assert "20G" in caught.value.remedy


@given(st.integers(0, 1 << 50))
def test_a_size_that_is_told_can_be_given(size: int) -> None:
    told = parse_size(format_size(size))
    assert told == pytest.approx(size, rel=0.06, abs=0)


ENTRIES = st.lists(
    st.builds(
        CacheEntry,
        st.just("kernel"),
        st.uuids().map(lambda name: Path(str(name))),
        st.just(()),
        st.integers(0, 100),
        st.floats(0, 100),
    ),
    max_size=8,
)


@given(ENTRIES, st.integers(0, 400))
def test_oldest_go_and_no_more_than_must(entries: list[CacheEntry], limit: int) -> None:
    gone = choose(entries, limit)
    kept = [entry for entry in entries if entry not in gone]
    assert sum(entry.size for entry in kept) <= limit
    assert all(out.used <= stays.used for out in gone for stays in kept)
    if gone:
        assert sum(entry.size for entry in kept) + gone[-1].size > limit


def test_disk_usage_is_what_du_says(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "link").symlink_to("/nonexistent")
    du = HostRunner().run(["du", "-s", "-B1", tmp_path]).text.split()[0]
    assert disk_usage(tmp_path) == int(du)


def test_those_longest_unused_go_of_whatever_kind(workspace: Workspace, fill: Fill) -> None:
    oldest, middle, newest = fill("kernels/a", 1), fill("trees/b", 2), fill("images/c", 3)
    collected = collect(workspace, disk_usage(middle) + disk_usage(newest))
    assert [entry.path for entry in collected.removed] == [oldest]
    assert not oldest.exists()
    assert middle.exists()
    assert newest.exists()
    assert collected.after == collected.before - collected.removed[0].size


@pytest.mark.parametrize("name", ["last-build", "last-use"])
def test_a_trees_last_build_and_the_last_look_at_it_count_as_its_use(
    workspace: Workspace, fill: Fill, name: str
) -> None:
    tree, kernel = fill("trees/b", 1), fill("kernels/a", 2)
    (tree / name).touch()
    os.utime(tree, (1, 1))
    assert [entry.path for entry in collect(workspace, BLOCKS * 3 // 2).removed] == [kernel]


def test_what_is_no_build_of_ours_stays(workspace: Workspace, fill: Fill) -> None:
    others = [fill(name, 1) for name in ("kernels/.filling", "scratch/guest", "libvirt")]
    assert collect(workspace, 0).removed == ()
    assert all(path.exists() for path in others)


def test_what_is_in_use_stays_and_another_goes(workspace: Workspace, fill: Fill) -> None:
    used, free = fill("kernels/a", 1), fill("kernels/b", 2)
    with in_use(used), in_use(used):
        collected = collect(workspace, 0)
    assert [entry.path for entry in collected.removed] == [free]
    assert [entry.path for entry in collected.busy] == [used]
    assert used.exists()
    assert [entry.path for entry in collect(workspace, 0).removed] == [used]


def test_images_that_are_single_files_go_too(workspace: Workspace) -> None:
    image = workspace.cache / "images" / "mfsroot-0123"
    image.parent.mkdir(parents=True)
    image.write_bytes(os.urandom(BLOCKS))
    with in_use(image):
        assert collect(workspace, 0).removed == ()
    size = disk_usage(image)
    assert [entry.size for entry in collect(workspace, 0).removed] == [size]
    assert size >= BLOCKS
    assert not image.exists()


def test_using_counts_as_use(workspace: Workspace, fill: Fill) -> None:
    old, new = fill("kernels/a", 1), fill("kernels/b", 2)
    with in_use(old):
        pass
    assert [entry.path for entry in collect(workspace, BLOCKS * 3 // 2).removed] == [new]


def test_tree_that_is_being_built_from_stays(workspace: Workspace, fill: Fill) -> None:
    tree = fill("trees/b", 1)
    with workspace.lock("tree-b"):
        assert collect(workspace, 0).removed == ()
    assert tree.exists()
    collect(workspace, 0)
    assert not tree.exists()


def test_dry_run_removes_nothing(workspace: Workspace, fill: Fill) -> None:
    kernel = fill("kernels/a", 1)
    assert [entry.path for entry in collect(workspace, 0, dry_run=True).removed] == [kernel]
    assert kernel.exists()


def test_empty_workspace_has_nothing_to_remove(workspace: Workspace) -> None:
    collected = collect(workspace, 0)
    assert (collected.removed, collected.before, collected.after) == ((), 0, 0)


def test_what_was_removed_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="was removed from the cache"), in_use(tmp_path / "kernel"):
        pass


def test_what_is_being_removed_cannot_be_claimed_twice(tmp_path: Path) -> None:
    with claimed(tmp_path) as first, claimed(tmp_path) as second:
        assert (first, second) == (True, False)


USER = """
import sys, time
from pathlib import Path
from harness.host.inuse import in_use
with in_use(Path(sys.argv[1])):
    Path(sys.argv[2]).touch()
    time.sleep(1000)
"""


def test_killed_user_is_a_user_no_more(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    using = tmp_path / "using"
    user = HostRunner().spawn([sys.executable, "-c", USER, tmp_path / "kernel", using])
    try:
        while not using.exists():
            assert user.poll() is None
        with claimed(tmp_path / "kernel") as free:
            assert not free
    finally:
        os.kill(user.pid, signal.SIGKILL)
        user.kill()
    with claimed(tmp_path / "kernel") as free:
        assert free


def test_command_tells_what_it_removed(
    workspace: Workspace, fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = fill("kernels/a", 1)
    assert run(["gc", "--limit", "1M"]) == 0
    assert "removed" not in capsys.readouterr().out
    assert run(["gc", "--limit", "0"]) == 0
    assert f"removed kernel {kernel}" in capsys.readouterr().out
    assert list((workspace.cache / "kernels").iterdir()) == []


@pytest.mark.usefixtures("workspace")
def test_command_gives_a_document(fill: Fill, capsys: pytest.CaptureFixture[str]) -> None:
    kernel, used = fill("kernels/a", 1), fill("kernels/b", 2)
    with in_use(used):
        assert run(["gc", "--limit", "0", "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["path"] for entry in document["removed"]] == [str(kernel)]
    assert [entry["path"] for entry in document["in_use"]] == [str(used)]
    assert document["dry_run"] is True


@pytest.mark.usefixtures("workspace")
def test_bad_limit_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gc", "--limit", "much"]) == 2
    assert "'much' is not a size" in capsys.readouterr().err


def test_a_dry_run_leaves_a_history_of_an_older_version_as_it_is(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace.state / "nightly" / "old.sqlite"
    path.parent.mkdir(parents=True)
    with create_engine(f"sqlite:///{path}").begin() as tables:
        migrate(tables, "0001")

    def schema() -> str:
        with closing(sqlite3.connect(path)) as connection:
            ((found,),) = connection.execute("SELECT version_num FROM alembic_version")
            return str(found)

    assert run(["gc", "--dry-run", "--consoles-age", "1d"]) == 0
    assert schema() == "0001"
    assert [each.name for each in path.parent.iterdir()] == ["old.sqlite"]
    assert f"would remove 0 consoles of {path}" in "".join(capsys.readouterr().out.split("\n"))
    assert run(["gc"]) == 0
    assert schema() == newest_schema()
