"""A rebuild takes a shorter way than ``buildkernel`` does; what it makes is the same."""

from __future__ import annotations

import difflib
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Home
from harness_command import harness

from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.opentree import open_tree

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(2400)]

CHANGED = "sys/vm/uma_core.c"
CONFIGURATION = "HARNESS-KASAN"


@pytest.fixture
def patch(freebsd_tree: Path, tmp_path: Path) -> Path:
    """One more line of code, which no cache has seen."""
    old = (freebsd_tree / CHANGED).read_text("utf-8", "replace").splitlines(keepends=True)
    new = [*old, f"int harness_test_{uuid.uuid4().hex} = 1;\n"]
    path = tmp_path / "change.patch"
    path.write_text("".join(difflib.unified_diff(old, new, f"a/{CHANGED}", f"b/{CHANGED}")))
    return path


@pytest.fixture
def home(freebsd_tree: Path) -> Path:
    """The directory of the cache that serves the tree."""
    return open_tree(str(freebsd_tree), Workspace.of_user(), HostRunner()).home


@pytest.fixture
def made() -> Iterator[list[Path]]:
    """Directories of the cache that are removed at the end."""
    directories: list[Path] = []
    yield directories
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def build(tree: Path, patch: Path, out: Path) -> Path:
    answer = harness("build", "--source", tree, "--kasan", "--patch", patch, out=out)
    assert answer.code == 0, answer.told
    return Workspace.of_user().cache / "kernels" / str(answer.document["key"])


def went_the_whole_way(home: Path) -> bool:
    return ">>> Kernel build for" in (home / "logs" / f"{CONFIGURATION}.log").read_text()


def kill(tree: Path, patch: Path, directory: Path, program: str) -> None:
    """Begin a build, and kill it when that program of its make runs."""
    directory.mkdir()
    user = Home(directory, {"XDG_CACHE_HOME": str(Workspace.of_user().cache.parent)})
    words = ("build", "-v", "--source", tree, "--kasan", "--patch", patch)
    with user.started(*words) as running:
        running.wait_for_words("kernel at")
        while program not in user.names():
            assert running.popen.poll() is None, running.said.read_text()
        running.end_by(signal.SIGKILL)
    user.wait_until_nothing_runs()


@pytest.mark.parametrize(
    "killed_in", [pytest.param((), marks=pytest.mark.long), ("clang", "ld.lld")]
)
def test_the_kernels_own_make_alone_makes_what_buildkernel_makes(
    freebsd_tree: Path, home: Path, patch: Path, made: list[Path], tmp_path: Path,
    killed_in: tuple[str, ...],
) -> None:  # fmt: skip
    harness("build", "--source", freebsd_tree, "--kasan", out=tmp_path)
    for program in killed_in:
        kill(freebsd_tree, patch, tmp_path / program, program)
    made.append(build(freebsd_tree, patch, tmp_path))
    assert not went_the_whole_way(home)
    names = ("kernel", "kernel.debug")
    ours = {name: (made[0] / name).read_bytes() for name in names}

    shutil.rmtree(made[0])
    for remembered in home.glob(f"obj-*/**/{CONFIGURATION}.environment"):
        remembered.unlink()
    (home / "src" / CHANGED).touch()
    assert build(freebsd_tree, patch, tmp_path) == made[0]
    # Only the whole way writes it; the log may be another build's by now.
    assert any(home.glob(f"obj-*/**/{CONFIGURATION}.environment"))
    assert {name: (made[0] / name).read_bytes() for name in names} == ours


@pytest.mark.long
def test_objects_that_somebody_has_removed_are_made_again(
    freebsd_tree: Path, home: Path, patch: Path, made: list[Path], tmp_path: Path
) -> None:
    for objects in home.glob(f"obj-*/**/sys/{CONFIGURATION}"):
        shutil.rmtree(objects)
    made.append(build(freebsd_tree, patch, tmp_path))
    assert went_the_whole_way(home)


def test_a_kernel_that_is_built_does_not_wait_for_another_build(
    freebsd_tree: Path, home: Path, tmp_path: Path
) -> None:
    harness("build", "--source", freebsd_tree, "--kasan", out=tmp_path)
    with Workspace.of_user().lock(f"tree-{home.name}"):  # as whoever builds holds it
        found = harness("build", "--source", freebsd_tree, "--kasan", out=tmp_path)
        predicted = harness("model", "predict", "--source", freebsd_tree, "--kasan", out=tmp_path)
    assert (found.code, predicted.code) == (0, 0)
    # Another test may read the tree for a moment.
    assert "is building from the same tree" not in found.told + predicted.told
