"""The model's form is read from the tree, or the tree is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from freebsd_source import configured_tree

from harness.errors import UsageError
from harness.expectation import variant_of
from harness.source.forms import slab_form
from harness.source.mutants import MUTANTS
from harness.source.mutants_domainset import DOMAINSET
from harness.source.mutants_uma_core import UMA_CORE


@pytest.fixture(scope="module")
def sources() -> tuple[bytes, bytes]:
    tree = configured_tree()
    if tree is None:
        pytest.skip("no source tree: set HARNESS_SOURCE or source.tree of the settings")
    return Path(tree, UMA_CORE).read_bytes(), Path(tree, DOMAINSET).read_bytes()


def test_a_file_without_the_functions_is_refused() -> None:
    with pytest.raises(UsageError, match="keg_fetch_slab"):
        slab_form(b"int x;\n", b"int y;\n")


@pytest.mark.freebsd
def test_a_known_tree_has_a_proven_form(sources: tuple[bytes, bytes]) -> None:
    form = slab_form(*sources)
    assert variant_of(form).proof != "unproven"
    assert len(form.why) == 4


@pytest.mark.freebsd
def test_a_mutant_is_seen(sources: tuple[bytes, bytes]) -> None:
    uma_core, domainset = sources
    form = slab_form(MUTANTS["drop-commit"].apply(uma_core), domainset)
    assert not form.reserve_fallback
    assert not form.domain_wait


@pytest.mark.freebsd
def test_layout_and_comments_do_not_matter(sources: tuple[bytes, bytes]) -> None:
    uma_core, domainset = sources
    assert slab_form(uma_core.replace(b"\t", b"    "), domainset) == slab_form(*sources)


@pytest.mark.freebsd
@pytest.mark.parametrize(
    ("old", "new", "function"),
    [
        (b"slab->us_freecount--", b"slab->us_freecount -= 2", "slab_alloc_item"),
        (b"} while (domain != start);", b"} while (domain == start);", "keg_first_slab"),
    ],
)
def test_an_unknown_form_is_refused_with_its_text(
    sources: tuple[bytes, bytes], old: bytes, new: bytes, function: str
) -> None:
    uma_core, domainset = sources
    assert uma_core.count(old) == 1
    with pytest.raises(UsageError, match=function) as refused:
        slab_form(uma_core.replace(old, new), domainset)
    assert new.decode() in refused.value.detail
