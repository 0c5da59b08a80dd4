"""The model's form is read from the tree; another text chooses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from freebsd_source import configured_tree

from harness.subsystems.domainset.codeforms import DOMAINSET
from harness.subsystems.table import mutants
from harness.subsystems.uma.codeforms import UMA_CORE, read_form
from harness.subsystems.uma.model.variants import Variant


@pytest.fixture(scope="module")
def sources() -> tuple[bytes, bytes]:
    tree = configured_tree()
    if tree is None:
        pytest.skip("no source tree: set HARNESS_SOURCE or source.tree of the settings")
    return Path(tree, UMA_CORE).read_bytes(), Path(tree, DOMAINSET).read_bytes()


def known(uma_core: bytes, domainset: bytes) -> Variant:
    form = read_form(uma_core, domainset).form
    assert form is not None
    return form


def test_a_file_without_the_functions_has_no_form() -> None:
    reading = read_form(b"int x;\n", b"int y;\n")
    assert reading.form is None
    assert "keg_fetch_slab" in reading.unknown


@pytest.mark.parametrize(
    "text", [b"", b"}", b"{{{", b"f(", b"\xff\x00#", b"a(b)c{", b"static int\n"]
)
def test_any_text_has_no_form_and_no_error(text: bytes) -> None:
    assert read_form(text, text).form is None


@pytest.mark.freebsd
def test_a_known_tree_has_a_proven_form(sources: tuple[bytes, bytes]) -> None:
    assert known(*sources).proof != "unproven"


@pytest.mark.freebsd
@pytest.mark.parametrize(
    ("mutant", "fallback", "wait"),
    [
        ("drop-commit", False, False),
        ("drop-reserve-fallback", False, True),
        ("drop-domain-wait", True, False),
    ],
)
def test_the_halves_of_the_commit_are_read(
    sources: tuple[bytes, bytes], mutant: str, fallback: bool, wait: bool
) -> None:
    uma_core, domainset = sources
    form = known(mutants()[mutant].apply(uma_core), domainset)
    assert (form.reserve_fallback, form.domain_wait) == (fallback, wait)


@pytest.mark.freebsd
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\t", b"    "),
        (b"/*", b"/* a comment; if (x) { */ /*"),
        (b"dom->ud_free_items--;", b"dom->ud_free_items--;\n\tdom->ud_ever_taken++;"),
        (b"keg_fetch_free_slab(keg, domain, rr, flags)) != NULL",
         b"keg_fetch_free_slab(keg, domain, rr, flags)) != ((void)0, NULL)"),
    ],
    ids=["layout", "comments", "counters", "(something else)"],
)  # fmt: skip
def test_layout_comments_and_counters_do_not_matter(
    sources: tuple[bytes, bytes], old: bytes, new: bytes
) -> None:
    uma_core, domainset = sources
    changed = read_form(uma_core.replace(old, new), domainset).form
    assert (changed == known(*sources)) is (b"(void)" not in new)


@pytest.mark.freebsd
@pytest.mark.parametrize(
    ("old", "new", "function"),
    [
        (b"slab->us_freecount--", b"slab->us_freecount -= 2", "slab_alloc_item"),
        (b"} while (domain != start);", b"} while (domain == start);", "keg_first_slab"),
    ],
)
def test_a_changed_function_leaves_the_form_unknown(
    sources: tuple[bytes, bytes], old: bytes, new: bytes, function: str
) -> None:
    uma_core, domainset = sources
    assert uma_core.count(old) == 1
    reading = read_form(uma_core.replace(old, new), domainset)
    assert (reading.form, reading.unknown) == (None, (function,))
