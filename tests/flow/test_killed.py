"""Caches of harnesses that were killed, at points that nobody chose: the next run works.

What a cache holds is compared with what a harness that nobody killed has put there.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import Home, Running
from small_tree import FILES, git_tree

from harness.host.process import HostRunner

pytestmark = [pytest.mark.guest, pytest.mark.long]

TIMES = 40

#: Bytes that differ because makefs writes the time into file system and inodes.
TIMES_IN_IMAGE = 256

#: What makes the memory disk of FreeBSD guests, which needs no FreeBSD.
ROOT_IMAGE = """
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.assemble import root_image
print(root_image(Workspace.of_user(), HostRunner()))
"""


def kill_after(running: Running, seconds: float) -> bool:
    """Whether it was killed; it may have ended before."""
    try:
        running.popen.wait(seconds)
    except subprocess.TimeoutExpired:
        running.popen.send_signal(signal.SIGKILL)
        running.popen.wait()
        return True
    return False


def content(directory: Path) -> dict[str, bytes]:
    """The kernels of a cache, by what they are."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    }


@pytest.fixture
def dice() -> random.Random:
    """The same throws in each run, so that a failure comes again."""
    return random.Random(13)


def test_kernels(empty_home: Home, dice: random.Random) -> None:
    words = ("compare", "--source", "embedded", "--kasan", "--numa", "2", "--accelerator", "tcg")
    assert empty_home.run(*words).code == 0
    good = content(empty_home.cache / "kernels")
    killed = 0
    for _ in range(TIMES):
        if dice.random() < 0.5:
            shutil.rmtree(empty_home.cache / "kernels", ignore_errors=True)
        with empty_home.started(*words) as running:
            killed += kill_after(running, dice.uniform(0.2, 3.0))
        empty_home.wait_until_nothing_runs()
        assert empty_home.held_locks() == []
    assert killed > TIMES // 4
    assert empty_home.run(*words).code == 0
    assert content(empty_home.cache / "kernels") == good
    empty_home.run("doctor", "--repair")
    assert empty_home.leftovers() == []


def test_memory_disk(home: Home, dice: random.Random) -> None:
    make = [sys.executable, "-c", ROOT_IMAGE]
    good = Path(HostRunner().run(make, env=home.env).text.strip()).read_bytes()
    for _ in range(TIMES):
        shutil.rmtree(home.cache / "images", ignore_errors=True)
        process = HostRunner().spawn(make, env=home.env)
        if process.wait(dice.uniform(0.1, 0.8)) is None:
            process.kill()
        home.wait_until_nothing_runs()
        for image in (home.cache / "images").glob("[!.]*/image"):
            assert differing(image.read_bytes(), good) < TIMES_IN_IMAGE
    again = Path(HostRunner().run(make, env=home.env).text.strip()).read_bytes()
    assert differing(again, good) < TIMES_IN_IMAGE


def differing(one: bytes, other: bytes) -> int:
    """How many bytes differ; a length that does counts as all."""
    if len(one) != len(other):
        return max(len(one), len(other))
    return sum(a != b for a, b in zip(one, other, strict=True))


def test_indexes_and_checkouts(home: Home, tmp_path: Path, dice: random.Random) -> None:
    """Revisions in turn, so that each run has files to write."""
    tree = git_tree(tmp_path / "tree")
    for number in range(3000):
        (tree / "sys" / f"file{number}.c").write_text(f"int file{number};\n")
    words = ("build", "--source", str(tree))
    for number in range(TIMES):
        for changed in range(0, 3000, 7):
            (tree / "sys" / f"file{changed}.c").write_text(f"int changed{number};\n")
        with home.started(*words) as running:
            kill_after(running, dice.uniform(0.2, 1.2))
        home.wait_until_nothing_runs()
    said = home.run(*words)
    assert (said.code, "this tree has no make" in said.error) == (4, True), said
    (out,) = (home.cache / "trees").glob("*/src")
    for name in (*FILES, *(f"sys/file{number}.c" for number in range(3000))):
        if not name.startswith("share/man"):
            assert (out / name).read_bytes() == (tree / name).read_bytes(), name
