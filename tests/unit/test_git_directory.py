"""Our git directory for a tree: it reads every kind of repository, and follows what users do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from small_tree import FILES, UMA, commit, git, git_tree, plain_tree

from harness.errors import InfraError, UsageError
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.change import Change
from harness.source.gitconfig import copied_configuration
from harness.source.gitdir import transfer_environment
from harness.source.opentree import open_tree
from harness.source.tree import SourceTree


@pytest.fixture
def opened(workspace: Workspace) -> Callable[[Path | str], SourceTree]:
    return lambda location: open_tree(str(location), workspace, HostRunner())


Opened = Callable[[Path | str], SourceTree]


def built(tree: SourceTree, change: Change | None = None) -> str:
    return (tree.checkout(tree.snapshot(change or Change())) / UMA).read_text()


def test_a_tree_whose_objects_are_named_by_sha256(tmp_path: Path, opened: Opened) -> None:
    directory = plain_tree(tmp_path / "tree")
    git(directory, "init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    first = commit(directory, "first")
    assert len(first) == 64
    tree = opened(directory)
    assert tree.snapshot(Change()).commit == first
    assert built(tree) == FILES[UMA]
    (directory / UMA).write_text("int changed;\n")
    (directory / "sys/kern/kern_main.c").unlink()
    (directory / "sys/kern/new.c").write_text("int new;\n")
    snapshot = tree.snapshot(Change())
    assert snapshot.dirty
    assert (tree.checkout(snapshot) / UMA).read_text() == "int changed;\n"
    assert not (tree.checkout_directory / "sys/kern/kern_main.c").exists()
    assert (tree.checkout_directory / "sys/kern/new.c").exists()
    assert built(tree, Change("first")) == FILES[UMA]
    patch = tmp_path / "change.diff"
    patch.write_text(git(directory, "diff", UMA) + "\n")
    assert built(tree, Change("first", patch=patch)) == "int changed;\n"


def test_a_linked_work_tree(tmp_path: Path, opened: Opened) -> None:
    directory = git_tree(tmp_path / "tree")
    linked = tmp_path / "linked"
    git(directory, "worktree", "add", "--quiet", "-b", "side", str(linked))
    (linked / UMA).write_text("int side;\n")
    second = commit(linked, "second")
    (linked / UMA).write_text("int edited;\n")
    tree = opened(linked)
    snapshot = tree.snapshot(Change())
    assert (snapshot.commit, snapshot.dirty) == (second, True)
    assert built(tree) == "int edited;\n"
    assert built(tree, Change("main")) == FILES[UMA]
    git(linked, "bisect", "start", "second", "first")
    assert opened(linked).repository.commit("refs/bisect/bad") == second
    with pytest.raises(UsageError):
        opened(directory).repository.commit("refs/bisect/bad")


@pytest.fixture
def blobless(tmp_path: Path) -> Path:
    """A clone without file contents, of another directory."""
    origin = git_tree(tmp_path / "origin")
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    (origin / UMA).write_text("int second;\n")
    commit(origin, "second")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", f"file://{origin}", str(clone))
    return clone


def test_a_blobless_tree_fetches_what_it_lacks(blobless: Path, opened: Opened) -> None:
    before = set((blobless / ".git/objects").rglob("*"))
    assert built(opened(blobless), Change("first")) == FILES[UMA]
    assert set((blobless / ".git/objects").rglob("*")) == before


def test_a_remote_beside_the_tree_is_found(blobless: Path, opened: Opened) -> None:
    git(blobless, "config", "remote.origin.url", "../origin")
    assert built(opened(blobless), Change("first")) == FILES[UMA]


def test_what_a_remote_has_not_is_the_hosts_failure(blobless: Path, opened: Opened) -> None:
    (blobless.parent / "origin").rename(blobless.parent / "gone")
    with pytest.raises(InfraError):
        built(opened(blobless), Change("first"))


def test_a_shallow_clone_has_no_parent(tmp_path: Path, opened: Opened) -> None:
    origin = git_tree(tmp_path / "origin")
    commit(origin, "second")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", str(clone))
    with pytest.raises(UsageError, match="has no parent"):
        opened(clone).repository.parent("HEAD")


def test_a_tree_with_a_split_index(tmp_path: Path, opened: Opened) -> None:
    directory = git_tree(tmp_path / "tree")
    git(directory, "update-index", "--split-index")
    assert list((directory / ".git").glob("sharedindex.*"))
    assert not opened(directory).snapshot(Change()).dirty
    (directory / UMA).write_text("int changed;\n")
    assert built(opened(directory)) == "int changed;\n"


def test_a_tree_that_borrows_its_objects(tmp_path: Path, opened: Opened) -> None:
    """objects/info/alternates, of a path with a colon."""
    origin = git_tree(tmp_path / "a:b")
    clone = tmp_path / "c:d"
    git(tmp_path, "clone", "--quiet", "--shared", str(origin), str(clone))
    assert built(opened(clone), Change("HEAD")) == FILES[UMA]


def test_every_name_of_a_revision(tmp_path: Path, opened: Opened) -> None:
    origin = git_tree(tmp_path / "origin")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    second = commit(clone, "second")
    first = git(clone, "rev-parse", "first")
    git(clone, "notes", "add", "-m", "x")
    git(clone, "pack-refs", "--all")
    repository = opened(clone).repository
    for name in ("@{upstream}", "origin/main", "first", "main~1", "HEAD@{1}", "second^"):
        assert repository.commit(name) == first, name
    assert repository.commit("main") == second
    # What is named anew is found, and what is taken away is not.
    git(clone, "branch", "later")
    git(clone, "tag", "--delete", "first")
    assert opened(clone).repository.commit("later") == second
    with pytest.raises(UsageError):
        opened(clone).repository.commit("first")


def test_a_tree_that_moves_on_is_followed(tmp_path: Path, opened: Opened) -> None:
    directory = git_tree(tmp_path / "tree")
    assert opened(directory).snapshot(Change()).commit == git(directory, "rev-parse", "first")
    git(directory, "checkout", "--quiet", "-b", "side")
    second = commit(directory, "second")
    assert opened(directory).snapshot(Change()).commit == second
    git(directory, "checkout", "--quiet", "--detach", "first")
    assert opened(directory).snapshot(Change()).commit == git(directory, "rev-parse", "first")


def test_a_tree_becomes_a_clone_and_a_plain_directory_again(tmp_path: Path, opened: Opened) -> None:
    directory = plain_tree(tmp_path / "tree")
    assert built(opened(directory)) == FILES[UMA]
    git(directory, "init", "--quiet")
    commit(directory, "first")
    assert opened(directory).snapshot(Change()).commit
    (directory / ".git").rename(tmp_path / "gone")
    (directory / UMA).write_text("int changed;\n")
    assert built(opened(directory)) == "int changed;\n"


def test_of_a_configuration_only_data_is_copied() -> None:
    text = copied_configuration(
        [
            ("core.filemode", "false"), ("core.ignorecase", "x\n[core]\n\tsshCommand = y"),
            ("core.sshcommand", "x"), ("remote.o.url", "../x"), ("remote.o.uploadpack", "x"),
            ('remote.a"]\n[core] b.url', 'https://x/"\n\\'), ("remote.s.url", "git@host:x"),
            ("include.path", "x"), ("alias.remote.x.url.y", "x"), ("remote.o.promisor", "true"),
        ],
        Path("/tree"),
    )  # fmt: skip
    copied = text[text.index("[core]\n\tfilemode") :].splitlines()
    assert copied == [
        "[core]", '\tfilemode = "false"',
        '[remote "o"]', '\turl = "/tree/../x"',
        '[remote "a\\"]\\n[core] b"]', '\turl = "https://x/\\"\\n\\\\"',
        '[remote "s"]', '\turl = "git@host:x"',
        '[remote "o"]', '\tpromisor = "true"',
    ]  # fmt: skip


def test_proxies_and_keys_reach_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "given")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    env = transfer_environment()
    assert (env["https_proxy"], env["SSH_AUTH_SOCK"]) == ("given", "given")
    assert env["GIT_ALLOW_PROTOCOL"] == "https:ssh:git:file"
    assert env["GIT_DIR"] == os.devnull
    assert env.get("GIT_CONFIG_GLOBAL") != os.devnull
