"""Real git histories, and what of them can change a kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_tree import commit, git, git_tree

from harness.bisect.graph import Graph, reduced
from harness.bisect.history import (
    FREEBSD,
    History,
    Relevance,
    bases_of,
    describe,
    read_history,
    with_side_revision,
)
from harness.errors import UsageError
from harness.host.process import HostRunner
from harness.source.git import Repository
from harness.source.gitdir import find_repository
from harness.source.synthetic import combined, revert

KERNEL_FILE = "sys/kern/kern_main.c"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return git_tree(tmp_path / "tree")


@pytest.fixture
def repository(tree: Path, tmp_path: Path) -> Repository:
    return Repository.opened(tmp_path / "git", find_repository(tree), HostRunner())


def changed(tree: Path, tag: str, name: str, text: str) -> str:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return commit(tree, tag)


def history(repository: Repository, new: str = "main", old: str = "first") -> History:
    newest, oldest = repository.commit(new), repository.commit(old)
    bases = [base for base in bases_of(repository, newest, oldest) if base != oldest]
    return read_history(repository, newest, (oldest, *bases))


def graph(repository: Repository, relevance: Relevance = FREEBSD, new: str = "main") -> Graph:
    found = history(repository, new)
    return reduced(found.commits(relevance), repository.commit(new), found.old_side)


def candidates(graph: Graph) -> list[str]:
    return [node.commit.subject for node in graph.nodes]


def test_only_what_a_kernel_is_made_from_makes_a_candidate(
    tree: Path, repository: Repository
) -> None:
    for name in (
        "README.md", "share/man/man9/zone.9", "sys/arm64/arm64/machdep.c", "sys/arm/arm.c",
        "bin/ls/ls.c", "sys/i386/i386/trap.c", "tests/sys/vm.c",
    ):  # fmt: skip
        changed(tree, f"idle-{name.replace('/', '-')}", name, "text\n")
    for name in (
        KERNEL_FILE, "sys/conf/files", "share/mk/bsd.own.mk", "include/stdio.h", "Makefile",
        "usr.sbin/config/main.c", "sys/i386/include/asm.h", "stand/libsa/x.c",
    ):  # fmt: skip
        changed(tree, f"busy-{name.replace('/', '-')}", name, "text\n")
    found = candidates(graph(repository))
    assert len(found) == 8
    assert all(name.startswith("busy") for name in found)


def test_a_change_that_is_taken_back_makes_the_kernel_the_same_again(
    tree: Path, repository: Repository
) -> None:
    before = (tree / KERNEL_FILE).read_text()
    changed(tree, "there", KERNEL_FILE, "int other;\n")
    changed(tree, "back", KERNEL_FILE, before)
    contents = {one.subject: one.content for one in history(repository).commits(FREEBSD)}
    assert contents["first"] == contents["back"] != contents["there"]


def test_merges_branches_and_renames(tree: Path, repository: Repository) -> None:
    changed(tree, "main-1", KERNEL_FILE, "int one;\n")
    git(tree, "checkout", "--quiet", "-b", "side", "first")
    changed(tree, "side-1", "sys/kern/side.c", "int side;\n")
    git(tree, "mv", "sys/kern/side.c", "sys/kern/renamed.c")
    commit(tree, "side-2")
    git(tree, "checkout", "--quiet", "main")
    git(tree, "merge", "--quiet", "--no-ff", "--message", "merge", "side")
    git(tree, "checkout", "--quiet", "-b", "other", "first")
    changed(tree, "other-1", "sys/kern/other.c", "int other;\n")
    git(tree, "checkout", "--quiet", "main")
    git(tree, "merge", "--quiet", "--strategy", "ours", "--message", "ours", "other")
    found = graph(repository)
    assert sorted(candidates(found)) == ["main-1", "merge", "side-1", "side-2"]
    assert found.masks[repository.commit("main")] == found.all


def test_sources_that_no_compiler_read_do_not_count_but_new_headers_and_tables_do(
    tree: Path, repository: Repository
) -> None:
    changed(tree, "added", "sys/dev/foo/foo.c", "int foo;\n")
    changed(tree, "unread", "sys/dev/foo/foo.c", "int bar;\n")
    changed(tree, "read", KERNEL_FILE, "int other;\n")
    changed(tree, "header", "sys/dev/foo/foo.h", "int foo;\n")
    changed(tree, "table", "sys/conf/files", "dev/foo/foo.c optional foo\n")
    changed(tree, "interface", "sys/dev/foo/foo_if.m", "INTERFACE foo;\n")
    read = replace(FREEBSD, read=frozenset({KERNEL_FILE}))
    assert candidates(graph(repository, read)) == ["read", "header", "table", "interface"]
    assert len(candidates(graph(repository))) == 6


def test_the_good_end_may_be_on_another_branch(tree: Path, repository: Repository) -> None:
    git(tree, "checkout", "--quiet", "-b", "release", "first")
    changed(tree, "release-1", KERNEL_FILE, "int release;\n")
    git(tree, "checkout", "--quiet", "main")
    changed(tree, "main-1", KERNEL_FILE, "int one;\n")
    newest, oldest = repository.commit("main"), repository.commit("release")
    bases = bases_of(repository, newest, oldest)
    assert bases == (repository.commit("first"),)
    found = read_history(repository, newest, (oldest, *bases))
    made = reduced(found.commits(FREEBSD), newest, found.old_side)
    assert candidates(made) == ["main-1"]
    assert made.masks[oldest] == made.masks[bases[0]] == 0


def test_a_message_in_no_known_encoding_is_text_all_the_same(
    tree: Path, repository: Repository
) -> None:
    changed(tree, "plain", KERNEL_FILE, "int next;\n")
    plain = repository.git("cat-file", "commit", "main").stdout
    raw = tree.parent / "commit"
    raw.write_bytes(plain.replace(b"\n\nplain", b"\n\ncaf\xe9 \x1b[31m"))
    git(tree, "update-ref", "HEAD", git(tree, "hash-object", "-t", "commit", "-w", str(raw)))
    (subject,) = candidates(graph(repository))
    assert subject.startswith("caf\ufffd")
    subject.encode()


def test_ends_the_wrong_way_round_are_refused(tree: Path, repository: Repository) -> None:
    changed(tree, "next", KERNEL_FILE, "int next;\n")
    with pytest.raises(UsageError, match="is an ancestor of"):
        bases_of(repository, repository.commit("first"), repository.commit("next"))


def test_histories_without_a_common_revision_are_refused(
    tree: Path, repository: Repository
) -> None:
    git(tree, "checkout", "--quiet", "--orphan", "strange")
    commit(tree, "orphan")
    with pytest.raises(UsageError, match="no revision in common"):
        bases_of(repository, repository.commit("orphan"), repository.commit("first"))


def test_a_graft_has_one_revisions_kernel_and_anothers_rest(
    tree: Path, repository: Repository
) -> None:
    changed(tree, "kernel", KERNEL_FILE, "int kernel;\n")
    changed(tree, "config", "usr.sbin/config/main.c", "int config;\n")
    changed(tree, "tool", "usr.bin/tool.c", "int tool;\n")
    (tree / KERNEL_FILE).unlink()
    changed(tree, "gone", "usr.sbin/config/main.c", "int later;\n")
    made = combined(repository, repository.commit("kernel"), repository.commit("gone"),
                 ("sys", "usr.sbin/config", "share/mk"))  # fmt: skip
    names = repository.git("ls-tree", "-r", "--name-only", made).text.split()
    assert KERNEL_FILE in names
    assert "usr.bin/tool.c" in names
    assert "usr.sbin/config/main.c" not in names
    again = combined(repository, repository.commit("kernel"), repository.commit("gone"),
                  ("sys", "usr.sbin/config", "share/mk"))  # fmt: skip
    assert again == made
    assert git(tree, "count-objects") == git(tree, "count-objects")


def test_taking_a_revision_back_keeps_what_came_after_it(
    tree: Path, repository: Repository
) -> None:
    culprit = changed(tree, "culprit", KERNEL_FILE, "int wrong;\n")
    changed(tree, "later", "sys/kern/later.c", "int later;\n")
    undone = revert(repository, culprit, repository.commit("main"))
    assert undone is not None
    assert repository.git("show", f"{undone}:{KERNEL_FILE}").text == "int main;\n"
    assert repository.git("show", f"{undone}:sys/kern/later.c").text == "int later;\n"
    newest = repository.commit("main")
    more = with_side_revision(history(repository), repository, undone, newest, "without it")
    made = reduced(more.commits(FREEBSD), newest, more.old_side)
    assert candidates(made) == ["culprit", "later"]
    assert made.contents[undone] not in {node.commit.content for node in made.nodes}


def test_taking_back_what_later_changes_build_on_conflicts(
    tree: Path, repository: Repository
) -> None:
    culprit = changed(tree, "culprit", KERNEL_FILE, "int wrong;\n")
    changed(tree, "later", KERNEL_FILE, "int wrong, more;\n")
    assert revert(repository, culprit, repository.commit("main")) is None


def test_a_revision_is_described_with_message_and_diffstat(
    tree: Path, repository: Repository
) -> None:
    name = changed(tree, "described", KERNEL_FILE, "int one;\nint two;\n")
    told = describe(repository, name)
    assert told.message == "described"
    assert told.author == "Test <test@localhost>"
    assert f"{KERNEL_FILE} | 3 ++-" in told.diffstat


def test_first_parents_take_what_a_merge_brings_in_as_one_change(
    tree: Path, repository: Repository
) -> None:
    """The merged branch is on no side: its end has the merge's content, and is no old revision."""
    git(tree, "checkout", "--quiet", "-b", "side")
    changed(tree, "side-1", KERNEL_FILE, "int broken;\n")
    changed(tree, "side-2", "sys/kern/kern_other.c", "int other;\n")
    git(tree, "checkout", "--quiet", "main")
    changed(tree, "notes", "README", "A document.\n")
    git(tree, "merge", "--quiet", "--no-ff", "--message", "merge", "side")
    newest, oldest = repository.commit("main"), repository.commit("first")
    found = read_history(repository, newest, (oldest,), first_parent=True)
    assert [row.subject for row in found.revisions] == ["first", "notes", "merge"]
    assert all(len(row.parents) <= 1 for row in found.revisions)
    graph = reduced(found.commits(FREEBSD), newest, found.old_side)
    assert candidates(graph) == ["merge"]
    assert len(read_history(repository, newest, (oldest,)).revisions) == 5
