"""git as the harness uses it, on real repositories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_tree import commit, git, git_tree, plain_tree

from harness.errors import InfraError, UsageError
from harness.host.process import HostRunner
from harness.source.clone import clone
from harness.source.git import Repository
from harness.source.gitdir import UserRepository, find_repository


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return git_tree(tmp_path / "tree")


@pytest.fixture
def repository(tree: Path, tmp_path: Path) -> Repository:
    return Repository.opened(tmp_path / "git", find_repository(tree), HostRunner())


def content(directory: Path) -> dict[str, tuple[bytes, int]]:
    """All files with their bytes and times."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_revisions_are_found_by_every_name(repository: Repository, tree: Path) -> None:
    first = git(tree, "rev-parse", "HEAD")
    for name in ("HEAD", "first", "main", first, first[:8]):
        assert repository.commit(name) == first


@pytest.mark.parametrize("name", ["no-such", "--all", "", "HEAD:sys", "deadbeef" * 5])
def test_what_is_no_commit_is_refused(repository: Repository, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        repository.commit(name)
    assert caught.value.message.startswith(f"there is no revision {name!r} in ")


def test_parent_is_the_first_one(repository: Repository, tree: Path) -> None:
    first = repository.commit("first")
    git(tree, "checkout", "--quiet", "-b", "side")
    commit(tree, "on-the-side")
    git(tree, "checkout", "--quiet", "main")
    commit(tree, "second")
    git(tree, "merge", "--quiet", "--no-ff", "-m", "merge", "side")
    assert repository.parent("second") == first
    assert repository.parent("HEAD") == repository.commit("second")


def test_first_commit_has_no_parent(repository: Repository) -> None:
    with pytest.raises(UsageError, match="has no parent"):
        repository.parent("first")


def test_nothing_is_written_into_the_users_repository(repository: Repository, tree: Path) -> None:
    before = content(tree)
    repository.git("hash-object", "-w", "--stdin", stdin=b"new")
    repository.git("read-tree", "HEAD", index=repository.objects.with_name("index"))
    repository.git("diff-files", index=repository.objects.with_name("index"), work_tree=tree)
    assert content(tree) == before
    assert any(repository.objects.rglob("*"))


def test_users_settings_have_no_say(
    repository: Repository, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = tmp_path / "hooks" / "post-index-change"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    git(tree, "config", "core.hooksPath", str(hook.parent))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    repository.git("read-tree", "HEAD", index=tmp_path / "index")
    assert not (tmp_path / "ran").exists()


def test_linked_work_trees_share_their_objects(
    repository: Repository, tree: Path, tmp_path: Path
) -> None:
    linked = tree.with_name("linked")
    git(tree, "worktree", "add", "--quiet", str(linked), "--detach")
    second = commit(linked, "second")
    found = find_repository(linked)
    assert found is not None
    assert (found.git_dir, found.common_dir) == (tree / ".git/worktrees/linked", tree / ".git")
    other = Repository.opened(tmp_path / "other", found, HostRunner())
    assert other.commit("HEAD") == second
    assert other.commit("main") == repository.commit("HEAD") == repository.commit("first")
    assert other.git("cat-file", "blob", "HEAD:sys/vm/uma_core.c").stdout


def test_names_with_any_byte_are_read(repository: Repository, tree: Path) -> None:
    odd = os.fsdecode(b'tab\tquote" \xff')
    (tree / odd).write_text("x")
    commit(tree, "odd")
    repository.git("read-tree", "HEAD", index=repository.objects.with_name("index"))
    lines = repository.lines("ls-files", "-s", "-z", index=repository.objects.with_name("index"))
    assert odd in [line.split("\t", 1)[1] for line in lines]


def test_directory_inside_a_work_tree_is_a_plain_directory(tree: Path) -> None:
    assert find_repository(tree) == UserRepository(tree, tree / ".git", tree / ".git")
    assert find_repository(tree / "sys") is None


def test_plain_directory_has_no_git_directory(tmp_path: Path) -> None:
    assert find_repository(plain_tree(tmp_path / "plain")) is None


def test_clone_has_the_history_and_no_files(tree: Path, tmp_path: Path) -> None:
    clone(f"file://{tree}", tmp_path / "clone", HostRunner())
    assert [path.name for path in (tmp_path / "clone").iterdir()] == [".git"]
    assert git(tmp_path / "clone", "rev-parse", "HEAD") == git(tree, "rev-parse", "HEAD")


def test_clone_of_nothing_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no git repository at file:///no/repository"):
        clone("file:///no/repository", tmp_path / "clone", HostRunner())


def test_clone_that_cannot_be_is_the_hosts_trouble(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"cannot clone https://localhost:1/src\.git"):
        clone("https://localhost:1/src.git", tmp_path / "clone", HostRunner())


def test_partial_clones_are_known(repository: Repository, tree: Path) -> None:
    assert not repository.is_partial
    git(tree, "config", "remote.origin.promisor", "true")
    repository.refresh()
    assert repository.is_partial
