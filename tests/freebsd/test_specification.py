"""What changed code is held to, on a small repository with the allocator of a real tree."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from small_tree import commit, git_tree

from harness.check.subject import Specification
from harness.errors import UsageError
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.change import Change
from harness.source.opentree import open_tree
from harness.source.request import KernelRequest
from harness.subsystems.domainset.codeforms import DOMAINSET
from harness.subsystems.specifications import Specifications
from harness.subsystems.table import KNOWLEDGE, mutants
from harness.subsystems.uma.codeforms import UMA_CORE
from harness.subsystems.uma.expectation import variant_of
from harness.subsystems.uma.model.variants import VARIANTS
from harness.subsystems.uma.subsystem import UMA

pytestmark = pytest.mark.freebsd

AFTER = (VARIANTS["13-after"], VARIANTS["15-after"])


@pytest.fixture
def tree(freebsd_tree: Path, tmp_path: Path) -> Path:
    """One revision, tagged ``first``, with the configured tree's allocator."""
    directory = git_tree(tmp_path / "tree")
    for path in (UMA_CORE, DOMAINSET):
        (directory / path).write_bytes((freebsd_tree / path).read_bytes())
    commit(directory, "release")
    return directory


def edit(tree: Path, path: str, old: bytes, new: bytes) -> None:
    file = tree / path
    text = file.read_bytes()
    assert old in text
    file.write_bytes(text.replace(old, new))


def held(
    tree: Path, workspace: Workspace, asked: str = "auto", change: Change | None = None
) -> Specification:
    asker = Specifications(
        UMA,
        lambda source: open_tree(source, workspace, HostRunner(), knowledge=KNOWLEDGE),
        workspace,
        lambda holder: None,
    )
    return asker.of(KernelRequest(str(tree), change or Change()), asked)


def break_allocator(tree: Path) -> None:
    edit(tree, UMA_CORE, b"ud_free_items <= reserve", b"ud_free_items < reserve")


def test_a_tree_as_it_stands_is_held_to_its_own_form(tree: Path, workspace: Workspace) -> None:
    found = held(tree, workspace)
    assert variant_of(found.values) in AFTER
    assert found.changed == ()


def test_local_changes_are_held_to_the_revision_below(tree: Path, workspace: Workspace) -> None:
    whole = held(tree, workspace)
    break_allocator(tree)
    found = held(tree, workspace)
    assert (variant_of(found.values), found.why) == (variant_of(whole.values), whole.why)
    assert found.changed == ("keg_fetch_free_slab",)
    assert "+\tif (keg->uk_domain[domain].ud_free_items < reserve ||" in found.diff


def test_changed_code_never_chooses_even_where_its_form_is_known(
    tree: Path, workspace: Workspace
) -> None:
    whole = held(tree, workspace)
    text = (tree / DOMAINSET).read_text()
    place = r"(\(\*di->di_iter\))"
    stepped = (
        re.sub(rf"\+\+{place}", r"\1++", text)
        if re.search(rf"\+\+{place}", text)
        else re.sub(rf"{place}\+\+", r"++\1", text)
    )
    (tree / DOMAINSET).write_text(stepped)
    found = held(tree, workspace)
    assert variant_of(found.values) == variant_of(whole.values)
    assert "vm_domainset_iter_rr" in found.changed


def test_committed_changes_are_held_to_the_nearest_ancestor_with_a_known_form(
    tree: Path, workspace: Workspace
) -> None:
    whole = held(tree, workspace)
    break_allocator(tree)
    commit(tree, "broken")
    (tree / "sys/kern/kern_main.c").write_text("int other;\n")
    commit(tree, "later")
    for _ in ("searched", "kept in the cache"):
        found = held(tree, workspace, change=Change(revision="later"))
        assert variant_of(found.values) == variant_of(whole.values)
        assert "the nearest ancestor" in found.why
        assert found.changed == ("keg_fetch_free_slab",)


def test_code_without_the_commit_is_held_to_code_with_it(tree: Path, workspace: Workspace) -> None:
    uma_core = (tree / UMA_CORE).read_bytes()
    (tree / UMA_CORE).write_bytes(mutants()["drop-commit"].apply(uma_core))
    commit(tree, "before")
    found = held(tree, workspace)
    assert variant_of(found.values) in AFTER
    assert found.why.endswith(", with the commit")


def test_as_built_is_the_codes_own_form_where_that_is_known(
    tree: Path, workspace: Workspace
) -> None:
    lost = held(tree, workspace, "as-built", Change(mutant="drop-reserve-fallback"))
    assert not variant_of(lost.values).reserve_fallback
    break_allocator(tree)
    with pytest.raises(UsageError, match="no such form of keg_fetch_free_slab"):
        held(tree, workspace, "as-built")


def test_a_variant_a_release_and_a_revision_can_be_named(tree: Path, workspace: Workspace) -> None:
    whole = variant_of(held(tree, workspace).values)
    break_allocator(tree)
    commit(tree, "broken")
    assert variant_of(held(tree, workspace, "13-before").values) == VARIANTS["13-before"]
    assert variant_of(held(tree, workspace, "15.1").values) == VARIANTS["15-after"]
    assert variant_of(held(tree, workspace, "release").values) == whole
    with pytest.raises(UsageError, match="neither a variant of the model nor a revision"):
        held(tree, workspace, "13-aftr")


def test_a_release_that_nobody_has_seen_is_held_to_what_it_resembles(
    tree: Path, workspace: Workspace
) -> None:
    whole = variant_of(held(tree, workspace).values)
    break_allocator(tree)
    edit(tree, UMA_CORE, b"slab->us_freecount--", b"slab->us_freecount -= 1")
    shutil.rmtree(tree / ".git")
    found = held(tree, workspace)
    assert variant_of(found.values) == whole
    assert "resembles" in found.why


def test_without_a_word_about_iterators_the_release_number_decides(
    tree: Path, workspace: Workspace
) -> None:
    for version, name in ((1302001, "13-after"), (1600012, "15-after")):
        (tree / DOMAINSET).write_text("int nothing;\n")
        edit(tree, UMA_CORE, b"vm_domainset_iter", b"vm_domainset_walk")
        param = tree / "sys/sys/param.h"
        param.parent.mkdir(exist_ok=True)
        param.write_text(f"#define __FreeBSD_version {version}\t/* Master */\n")
        commit(tree, name)
        (tree / UMA_CORE).write_bytes((tree / UMA_CORE).read_bytes().replace(b"walk", b"iter"))
        opened = open_tree(str(tree), workspace, HostRunner())
        found = opened.baselines(UMA).read(opened.repository.commit(name), name, history=False)
        assert variant_of(found.values) == VARIANTS[name]
        assert str(version) in found.why
