"""``harness check --watch``: real saves in a clone of the tree, and a real process."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(1200)]

UMA = "sys/vm/uma_core.c"
WAITS = "Ctrl-C ends"


def git(directory: Path, *words: str | Path) -> str:
    command = ["git", "-C", directory, *words]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


@pytest.fixture
def clone(freebsd_tree: Path, tmp_path: Path) -> Path:
    """A work tree with ``sys/vm`` alone, whose objects are the tree's."""
    common = git(freebsd_tree, "rev-parse", "--path-format=absolute", "--git-common-dir")
    directory = tmp_path / "tree"
    subprocess.run(["git", "init", "--quiet", directory], check=True)
    (directory / ".git/objects/info/alternates").write_text(f"{common}/objects\n")
    git(directory, "sparse-checkout", "set", "--no-cone", "/sys/vm/")
    git(directory, "checkout", "--quiet", git(freebsd_tree, "rev-parse", "HEAD"))
    return directory


class Watching:
    """A harness that watches a tree; ``said`` is what it has printed."""

    def __init__(self, tree: Path, out: Path) -> None:
        words = ["check", "--on", "host", "--ops", "2000", "--subsystem", "uma", "--watch",
                 "--source", str(tree), "--out", str(out)]  # fmt: skip
        program = [sys.executable, "-c", "from harness.cli.main import main; main()"]
        self.process = subprocess.Popen(
            [*program, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def judged(self) -> str:
        """What it says until it waits for the next save."""
        said = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said.append(line)
            if WAITS in line:
                return "".join(said)
        pytest.fail(f"it has ended: {''.join(said)}")

    def interrupted(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait()


@pytest.fixture
def watching(clone: Path, tmp_path: Path) -> Iterator[Watching]:
    out = tmp_path / "out"
    out.mkdir()
    found = Watching(clone, out)
    yield found
    found.process.kill()
    found.process.communicate()


def test_each_save_is_judged_and_the_last_verdict_is_the_exit_code(
    clone: Path, watching: Watching
) -> None:
    source = clone / UMA
    good = source.read_text("utf-8", "surrogateescape")
    wrong = re.sub(r"dom->ud_free_items--;", ";", good, count=1)
    assert wrong != good
    assert "check passed" in watching.judged()

    source.write_text(good[: len(good) // 2], "utf-8", "surrogateescape")
    assert "error:" in watching.judged()

    source.unlink()
    assert f"it has no {UMA}" in watching.judged()

    source.write_text(good, "utf-8", "surrogateescape")
    said = watching.judged()
    assert f"saved: {UMA}" in said
    assert "check passed" in said

    replacement = source.with_suffix(".new")
    replacement.write_text(wrong, "utf-8", "surrogateescape")
    replacement.rename(source)
    assert "1 of 1 as expected" not in watching.judged()
    assert watching.interrupted() == 1


def test_of_saves_during_a_check_the_newest_is_judged(clone: Path, watching: Watching) -> None:
    source = clone / UMA
    good = source.read_text("utf-8", "surrogateescape")
    assert "check passed" in watching.judged()
    for number in range(20):
        broken = f"{good}\n#error number {number}\n"
        source.write_text(broken, "utf-8", "surrogateescape")
    said = watching.judged()
    while "number 19" not in said:  # the first of them may have been read while it was checked
        said = watching.judged()
    shutil.copy2(source, source.with_suffix(".kept"))
    source.write_text(good, "utf-8", "surrogateescape")
    assert "check passed" in watching.judged()
    assert watching.interrupted() == 0
