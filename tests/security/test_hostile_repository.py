"""A source tree's git directory and attributes run nothing, and change nothing that is built."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import Home, temporary_home
from hostile_trees import ATTRIBUTES, arm, program
from small_tree import CONFIGURE, UMA, commit, git, git_tree

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")

PATCH = f"""\
--- a/{UMA}
+++ b/{UMA}
@@ -1,2 +1,3 @@
 /* No allocator here. */
 int uma;
+int patched;
"""


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


@pytest.fixture
def tree(home: Home) -> Path:
    """A tree with two revisions whose make does not build: each command comes as far as that."""
    directory = git_tree(home.directory / "tree")
    (directory / UMA).write_text("/* No allocator here. */\nint uma;\nint second;\n")
    commit(directory, "second")
    return directory


def checked_out(home: Home, path: str) -> bytes:
    (found,) = home.cache.glob(f"trees/*/src/{path}")
    return found.read_bytes()


def test_the_trap_works(tree: Path, home: Home) -> None:
    evil, ran = program(home.directory / "evil")
    arm(tree, evil)
    subprocess.run(["git", "-C", tree, "status"], capture_output=True, check=False)
    assert ran.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("build",),
        ("build", "--rev", "second"),
        ("build", "--rev", "first", "--patch", "change.diff"),
        ("check", "--numa", "2", "--rev", "first", "--patch", "change.diff"),
        ("compare", "--numa", "2", "--commit", "second"),
        ("bisect", "--numa", "2", "--good", "first", "--bad", "second", "--boot", "direct"),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_nothing_that_the_repository_names_is_run(
    tree: Path, home: Home, words: tuple[str, ...]
) -> None:
    evil, ran = program(home.directory / "evil")
    arm(tree, evil)
    (home.directory / "change.diff").write_text(PATCH)
    (tree / CONFIGURE).touch()  # so that git has to look into it
    said = home.run(*words, "--source", tree)
    assert said.code in {1, 4}, said.stderr
    assert not ran.exists(), ran.read_text()


@pytest.mark.parametrize("url", ["ext::{evil}", "ssh://localhost/src", "file://{tree}", "evil::x"])
def test_a_remote_that_names_a_program_is_not_fetched_from(
    tree: Path, home: Home, url: str
) -> None:
    """What a blobless tree lacks is fetched; its ``uploadpack`` and ``sshCommand`` have no say."""
    evil, ran = program(home.directory / "evil")
    os.symlink(evil, evil.with_name("git-remote-evil"))
    for name, value in {
        "core.repositoryFormatVersion": "1", "extensions.partialClone": "origin",
        "remote.origin.promisor": "true", "remote.origin.url": url.format(evil=evil, tree=tree),
        "remote.origin.vcs": "evil", "remote.origin.uploadpack": str(evil),
        "core.sshCommand": str(evil), "protocol.allow": "always", "protocol.ext.allow": "always",
    }.items():  # fmt: skip
        git(tree, "config", name, value)
    name = git(tree, "rev-parse", f"second:{UMA}")
    (tree / ".git/objects" / name[:2] / name[2:]).unlink()
    path = f"{evil.parent}:{os.environ['PATH']}"
    words = ("build", "--source", tree, "--rev", "second")
    said = home.run(*words, PATH=path, GIT_SSH_COMMAND="false")
    assert said.code in {2, 3}, said.stderr
    assert not ran.exists(), ran.read_text()


@pytest.mark.parametrize("lost", ["first", "second", "second^{tree}"])
def test_a_tree_that_fetches_from_itself_comes_to_an_end(tree: Path, home: Home, lost: str) -> None:
    """git that asks a repository for what it lacks may start a git there, which asks again."""
    for name, value in {
        "extensions.partialClone": "origin", "remote.origin.promisor": "true",
        "remote.origin.url": f"file://{tree}", "core.repositoryFormatVersion": "1",
    }.items():  # fmt: skip
        git(tree, "config", name, value)
    name = git(tree, "rev-parse", lost)
    (tree / ".git/objects" / name[:2] / name[2:]).unlink()
    said = home.run("build", "--source", tree, "--rev", "second")
    assert said.code in {2, 3}, said.stderr
    home.wait_until_nothing_runs()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def endless(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # zero(4)


def link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("name", "put", "kind"),
    [
        *((name, fifo, "a FIFO") for name in (
            "HEAD", "packed-refs", "config", "index", "refs/heads/a/b", "refs/stash", "logs/HEAD",
            "info/exclude", "objects/info/alternates", "objects/pack/pack-1.idx",
        )),
        ("HEAD", directory, "a directory"),
        ("packed-refs", directory, "a directory"),
        ("refs/heads/linked", link_to_a_fifo, "a FIFO"),
        pytest.param("refs/tags/zero", endless, "a device", marks=AS_ROOT),
    ],
)  # fmt: skip
def test_what_git_would_wait_for_is_refused(
    tree: Path, home: Home, name: str, put: Callable[[Path], None], kind: str
) -> None:
    path = tree / ".git" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    put(path)
    said = home.run("build", "--source", tree, "--rev", "first")
    assert said.code == 2, said.stderr
    assert "cannot read the repository: " in said.error
    assert f" is {kind}" in said.error
    assert "rm -r " in said.error


def test_a_tree_whose_refs_lead_into_themselves_is_read(tree: Path, home: Home) -> None:
    (tree / ".git/refs/heads/again").symlink_to("..")
    (tree / ".git/refs/heads/gone").symlink_to("no-such")
    said = home.run("model", "predict", "--source", tree, "--numa", "2")
    assert " is a " not in said.error


def test_what_is_hashed_is_what_is_built(tree: Path, home: Home) -> None:
    text = b"/* $Id$ */\r\nint uma;\n"
    (tree / UMA).write_bytes(text)
    (tree / "sys/wide.u").write_text("int wide;\n")
    git(tree, "-c", "core.autocrlf=false", "commit", "--quiet", "--all", "--message", "bytes")
    (tree / ".gitattributes").write_text(ATTRIBUTES.replace("filter=evil", ""))
    assert home.run("build", "--source", tree).code == 4
    assert checked_out(home, UMA) == text
    assert checked_out(home, "sys/wide.u") == b"int wide;\n"
    assert home.run("build", "--source", tree, "--rev", "HEAD").code == 4
    assert checked_out(home, UMA) == text


def test_a_replaced_object_is_built_as_it_is_named(tree: Path, home: Home) -> None:
    """git-replace(1) gives other content for a hash, under which the kernel would be kept."""
    other = git(tree, "rev-parse", f"first:{UMA}")
    git(tree, "replace", git(tree, "rev-parse", f"second:{UMA}"), other)
    assert home.run("build", "--source", tree, "--rev", "second").code == 4
    assert b"int second;" in checked_out(home, UMA)


@AS_ROOT
def test_a_tree_of_another_user_is_refused_unless_it_is_trusted(tree: Path, home: Home) -> None:
    os.chown(tree / ".git", 65534, 65534)
    said = home.run("build", "--source", tree)
    assert said.code == 2
    assert "belongs to user nobody" in said.stderr
    assert f'trust = ["{tree}"]' in said.stderr
    home.configure(f'[source]\ntrust = ["{tree}"]\n')
    assert home.run("build", "--source", tree).code == 4
    home.configure(f'[source]\ntrust = ["{tree.parent}"]\n')
    assert home.run("build", "--source", tree).code == 2


@AS_ROOT
def test_a_local_clone_of_another_users_repository_is_refused(tree: Path, home: Home) -> None:
    for path in (tree, *tree.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    said = home.run("build", "--source", f"file://{tree}")
    assert (said.code, "belongs to another user" in said.stderr) == (2, True), said.stderr
    settings = home.directory / ".gitconfig"
    settings.write_text(f"[safe]\n\tdirectory = {tree}/.git\n")
    assert home.run("build", "--source", f"file://{tree}").code == 4
