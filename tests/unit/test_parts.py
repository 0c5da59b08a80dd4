"""Parts of a tree: told by a few tree objects, they hold the files that their paths say."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.source.treeparts import (
    BUILT,
    KERNEL,
    MAKE,
    TOOLCHAIN,
    TREE,
    Content,
    Entry,
    Part,
    parent,
    parents,
)

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


def files_of(paths: Iterable[str]) -> set[str]:
    """Those of the paths that can be files together: none is a directory of another."""
    directories = {above for path in paths for above in parents(path)}
    return {path for path in paths if path not in directories}


def listing(files: Iterable[str], directories: Iterable[str]) -> list[Entry]:
    """What git lists of those directories, whatever else it lists along the way."""
    below = {above for path in files for above in parents(path) if above}
    entries = [Entry("040000", TREE, "", path) for path in below]
    entries += [Entry("100644", "blob", "", path) for path in files]
    asked = set(directories)
    return [entry for entry in entries if parent(entry.path) in asked]


@given(
    files=st.sets(NAMES).map(files_of),
    taken=st.frozensets(NAMES),
    left_out=st.frozensets(NAMES),
    whole=st.booleans(),
    more=st.frozensets(NAMES),
)
def test_the_entries_of_a_part_are_its_files(
    files: set[str], taken: frozenset[str], left_out: frozenset[str], whole: bool,
    more: frozenset[str],
) -> None:  # fmt: skip
    top = frozenset({""})
    part = Part(taken | top if whole else taken, left_out if whole else left_out | top)
    entries = part.whole(listing(files, part.directories() | more))
    covered = {
        file
        for file in files
        for entry in entries
        if entry.path in (file, *parents(file))
    }  # fmt: skip
    assert covered == {file for file in files if part.holds(file)}


@pytest.mark.parametrize(
    ("path", "built", "kernel"),
    [
        ("sys/vm/uma_core.c", True, True),
        ("sys/i386/i386/pmap.c", False, True),
        ("sys/i386/include/md_var.h", True, True),
        ("contrib/llvm-project/clang/lib/x.cpp", False, False),
        ("contrib/llvm-project/compiler-rt/lib/builtins/divdi3.c", True, False),
        ("contrib/bmake/main.c", True, False),
        ("usr.sbin/config/main.c", True, True),
        ("usr.sbin/configure/main.c", True, False),
        ("share/man/man9/zone.9", False, False),
        ("tests/sys/x.c", False, False),
        ("Makefile.inc1", True, True),
    ],
)
def test_what_is_built_from_what(path: str, built: bool, kernel: bool) -> None:
    assert BUILT.holds(path) is built
    assert KERNEL.holds(path) is kernel
    assert TOOLCHAIN.holds(path) is not kernel
    assert MAKE.holds(path) is path.startswith("contrib/bmake/")


def test_part_without_some_paths_lacks_those_alone() -> None:
    part = BUILT.without(["sys/vm/uma_core.c", "Makefile"])
    assert not part.holds("sys/vm/uma_core.c")
    assert not part.holds("Makefile")
    assert part.holds("sys/vm/vm_page.c")
    assert part.directories() >= {"", "sys", "sys/vm"}


def test_content_is_its_tree_but_for_what_was_changed() -> None:
    content = Content("tree").but([Entry("100644", "blob", "b1", "a/b")])
    assert content.name_of("a/b") == "b1"
    assert content.name_of("a/c") == "tree:a/c"
    assert content.but([Entry.absent("a/b")]).changed["a/b"].is_absent
