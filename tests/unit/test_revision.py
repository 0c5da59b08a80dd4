"""What a tree says of itself, and what a snapshot is called."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.source.revision import (
    Release,
    Snapshot,
    combined_hash,
    parse_llvm_major,
    parse_release,
)


def snapshot(commit: str | None = None, *, dirty: bool = False, **on_top: str) -> Snapshot:
    return Snapshot(
        location="tree", commit=commit, dirty=dirty, patch=on_top.get("patch"),
        mutant=on_top.get("mutant"), tree="f" * 40, kernel="", toolchain="", loader="",
        config="", make="", release="13.2-RELEASE", llvm=14,
        base=commit or "",
        facts={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("newvers", "release"),
    [
        ('TYPE="FreeBSD"\nREVISION="13.2"\nBRANCH="RELEASE"\n', "13.2-RELEASE"),
        ('REVISION="14.0"\nBRANCH="${BRANCH_OVERRIDE:-STABLE}"\n', "14.0-STABLE"),
        ("REVISION=15.1\nBRANCH=RELEASE-p3\n", "15.1-RELEASE-p3"),
        ('#REVISION="12.0"\nREVISION="16.0"\nBRANCH="CURRENT"\n', "16.0-CURRENT"),
    ],
)
def test_release_is_read(newvers: str, release: str) -> None:
    found = parse_release(newvers)
    assert str(found) == release
    assert found.major == int(release.partition(".")[0])


@pytest.mark.parametrize("newvers", ["", 'REVISION="13.2"\n', 'BRANCH="RELEASE"\n'])
def test_tree_without_a_release_is_refused(newvers: str) -> None:
    with pytest.raises(UsageError, match="has no REVISION or BRANCH"):
        parse_release(newvers)


def test_releases_before_13_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"FreeBSD 12\.4-STABLE; releases before 13"):
        parse_release('REVISION="12.4"\nBRANCH="STABLE"\n')


def test_a_descendant_with_version_numbers_of_its_own_is_named_in_the_refusal() -> None:
    with pytest.raises(UsageError, match=r"the tree is OwnBSD 0\.1-CURRENT, not FreeBSD"):
        parse_release('TYPE="OwnBSD"\nREVISION="0.1"\nBRANCH="CURRENT"\n')
    assert parse_release('TYPE="FreeBSD"\nREVISION="14.3"\nBRANCH="STABLE-HBSD"\n').major == 14


@given(st.text(), st.text())
@example("1x.2", "RELEASE")
@example("13.2", "")
def test_whatever_stands_there_is_a_release_or_refused(revision: str, branch: str) -> None:
    try:
        found = parse_release(f'REVISION="{revision}"\nBRANCH="{branch}"\n')
    except UsageError:
        return
    assert isinstance(found, Release)
    assert found.major >= 13


def test_llvm_is_read_and_missed() -> None:
    text = "#define\tCLANG_VERSION\t\t14.0.5\n#define\tCLANG_VERSION_MAJOR\t14\n"
    assert parse_llvm_major(text) == 14
    with pytest.raises(UsageError, match="has no CLANG_VERSION_MAJOR"):
        parse_llvm_major("#define CLANG_VERSION 14.0.5\n")


@pytest.mark.parametrize(
    ("taken", "label"),
    [
        (snapshot("c" * 40), "cccccccccc"),
        (snapshot("c" * 40, dirty=True), "cccccccccc dirty"),
        (snapshot(), "directory ffffffffff"),
        (snapshot("c" * 40, dirty=True, patch="0123", mutant="drop-commit"),
         "cccccccccc dirty +patch 0123 +mutant drop-commit"),
    ],
)  # fmt: skip
def test_label_says_what_is_changed(taken: Snapshot, label: str) -> None:
    assert taken.label == label


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_hash_depends_on_where_the_parts_end(parts: list[str]) -> None:
    whole = combined_hash(tuple(parts))
    assert whole == combined_hash(tuple(parts))
    assert len(whole) == 40
    if len(parts) > 1:
        assert whole != combined_hash(("".join(parts),)) or parts[1:] == [""]
