"""Revisions, patches and edits: what is built is what was asked for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_command import harness

from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.gitdir import find_repository
from harness.source.opentree import open_tree
from harness.subsystems.table import find_mutant

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(2400)]

UMA = "sys/vm/uma_core.c"
PANIC = "vm_map_entry_create: kernel resources exhausted"


def git(repository: Path, *words: str) -> str:
    command = ["git", "-C", str(repository), "-c", "user.name=test", "-c", "user.email=t@t", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def forget(location: str) -> None:
    """Take a tree that is no more out of the user's cache; kernels of its content stay."""
    workspace = Workspace.of_user()
    home = open_tree(location, workspace, HostRunner()).home
    shutil.rmtree(home)
    Path(workspace.cache, "locks", f"tree-{home.name}.lock").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def history(freebsd_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone in which one commit puts the change in; its parent is without it."""
    clone = tmp_path_factory.mktemp("history") / "src"
    origin = find_repository(freebsd_tree)
    assert origin is not None, "these tests need a configured tree that is a git clone"
    git(clone.parent, "clone", "-q", "--shared", "--no-checkout", str(origin.git_dir), str(clone))
    # As a public server does, it serves clones without file contents.
    git(clone, "config", "uploadpack.allowFilter", "true")
    git(clone, "config", "uploadpack.allowAnySHA1InWant", "true")
    head = git(freebsd_tree, "rev-parse", "HEAD")
    git(clone, "sparse-checkout", "set", "--no-cone", f"/{UMA}")
    git(clone, "checkout", "-q", head)
    forget_missing_files(clone)
    after = (clone / UMA).read_bytes()
    (clone / UMA).write_bytes(find_mutant("drop-commit").apply(after))
    commit(clone, "as before the change")
    (clone / UMA).write_bytes(after)
    commit(clone, "the change")
    yield clone
    forget(str(clone))


def forget_missing_files(clone: Path) -> None:
    """Take files out of the history whose content the configured clone lacks."""
    rows = [line.split(maxsplit=3) for line in git(clone, "ls-files", "-s").splitlines()]
    asked = "".join(f"{name}\n" for _, name, _, _ in rows)
    answers = subprocess.run(
        ["git", "-C", str(clone), "cat-file", "--batch-check"],
        input=asked, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    missing = {line.split()[0] for line in answers.splitlines() if line.endswith("missing")}
    gone = [path for _, name, _, path in rows if name in missing]
    if gone:
        git(clone, "update-index", "--force-remove", "--", *gone)


def commit(clone: Path, message: str) -> None:
    """Commit the edit, in a clone that may lack objects nobody needs."""
    git(clone, "update-index", UMA)
    tree = git(clone, "write-tree", "--missing-ok")
    made = git(clone, "commit-tree", tree, "-p", "HEAD", "-m", message)
    git(clone, "update-ref", "HEAD", made)


@pytest.mark.parametrize("backend", ["qemu", "libvirt"])
def test_compare_commit_boots_its_parent_and_itself(
    history: Path, tmp_path: Path, backend: str
) -> None:
    answer = harness(
        "compare", "--source", history, "--commit", "HEAD", "--numa", "2", "--kasan",
        "--backend", backend, out=tmp_path,
    )  # fmt: skip
    assert answer.outcomes() == {"before-kasan-numa2": "panic", "after-kasan-numa2": "booted"}
    assert answer.cells()["before-kasan-numa2"]["verdict"]["title"] == PANIC
    assert answer.code == 0, answer.told


def test_a_file_url_is_cloned_by_the_harness(history: Path, tmp_path: Path) -> None:
    answer = harness(
        "compare", "--source", f"file://{history}", "--commit", git(history, "rev-parse", "HEAD"),
        "--numa", "2", "--kasan", out=tmp_path,
    )  # fmt: skip
    forget(f"file://{history}")
    assert answer.outcomes() == {"before-kasan-numa2": "panic", "after-kasan-numa2": "booted"}


def test_a_revision_is_booted_without_a_change_in_the_users_files(
    history: Path, tmp_path: Path
) -> None:
    before = git(history, "status", "--porcelain")
    answer = harness(
        "boot", "--source", history, "--rev", "HEAD^", "--numa", "2", "--kasan", out=tmp_path
    )
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == "panic"
    assert cell["kernel"]["commit"] == git(history, "rev-parse", "HEAD^")
    assert answer.code == 1
    assert git(history, "status", "--porcelain") == before


def test_a_patch_is_applied_on_top(history: Path, tmp_path: Path) -> None:
    patch = tmp_path / "undo.patch"
    patch.write_text(git(history, "diff", "HEAD", "HEAD^") + "\n")
    answer = harness(
        "boot", "--source", history, "--patch", patch, "--numa", "2", "--kasan", out=tmp_path
    )
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == "panic"
    assert cell["kernel"]["patch"]


def test_an_uncommitted_edit_is_built_and_the_record_says_so(history: Path, tmp_path: Path) -> None:
    copy = tmp_path / "src"
    shutil.copytree(history, copy, symlinks=True)
    text = (copy / UMA).read_bytes()
    (copy / UMA).write_bytes(find_mutant("drop-commit").apply(text))
    answer = harness("boot", "--source", copy, "--numa", "2", "--kasan", out=tmp_path / "runs")
    forget(str(copy))
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == "panic"
    assert cell["kernel"]["dirty"] is True


def test_equal_trees_share_a_kernel_whatever_they_are_called(
    history: Path, freebsd_tree: Path, tmp_path: Path
) -> None:
    keys = {
        harness("build", "--source", tree, "--kasan", out=tmp_path).document["key"]
        for tree in (history, freebsd_tree)
    }
    assert len(keys) == 1
