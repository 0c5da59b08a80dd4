"""When two functions say the same for reasons of form, and when they do not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cedit.definitions import changes, definitions, digest, pure_counters

TAKE = b"""\
static int
take(struct keg *keg, int domain, const int flags)
{
	struct slab *slab;
	int left;

	KASSERT(domain >= 0, ("%s: %d", __func__, domain));
	left = keg->free;
	if (left > 0 && (flags & 1) == 0) {
		keg->free--;
		slab = first(keg, domain);
		return (slab->next);
	}
retry:
	if (grow(keg, left))
		goto retry;
	return (0);
}
"""


def same(other: bytes) -> bool:
    return not changes("x.c", TAKE, other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"left", b"remaining"),
        (b"keg", b"k"),
        (b"retry", b"again"),
        (b"\tKASSERT", b"\tKEG_ASSERT_COLD(keg, domain);\n\tMPASS(left == 0);\n\tKASSERT"),
        (b"\tKASSERT(domain >= 0, (\"%s: %d\", __func__, domain));\n", b""),
        (b"\tkeg->free--;", b"\tkeg->free--;\n\t\tkeg->uk_taken++;\n\t\tkeg_total += 2;"),
        (b"\tkeg->free--;", b"\tkeg->free--;\n\t\tcounter_u64_add(keg_hits, 1);"),
        (b"\tkeg->free--;", b"\tkeg->free--;\n\t\tCTR2(KTR_UMA, \"take %p %d\", keg, domain);"),
        (b"\tstruct slab *slab;\n\tint left;\n", b"\tint left;\n\tstruct slab *slab;\n"),
        (b"\n", b"\r\n"),
        (b"(0);", b"(/* none */ 0); // none"),
    ],
)  # fmt: skip
def test_what_does_not_matter(old: bytes, new: bytes) -> None:
    changed = re.sub(rb"\b%b\b" % old, new, TAKE) if old.isalpha() else TAKE.replace(old, new)
    assert changed != TAKE
    assert same(changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"left > 0", b"left >= 0"),
        (b"&&", b"||"),
        (b"keg->free--", b"keg->free++"),
        (b"\t\tkeg->free--;\n", b""),
        (b"grow(keg, left)", b"grow(left, keg)"),
        (b"first(keg, domain)", b"first(keg, flags)"),
        (b"slab->next", b"slab->prev"),
        (b"int left", b"uint8_t left"),
        (b"int domain, const int flags", b"int flags, const int domain"),
        (b"left = keg->free;", b"left = keg->free; left--;"),
    ],
)
def test_what_matters(old: bytes, new: bytes) -> None:
    assert old in TAKE
    assert not same(TAKE.replace(old, new))


def test_a_counter_that_something_reads_matters() -> None:
    reader = b"int\nread(struct keg *keg)\n{\n\treturn (keg->uk_taken);\n}\n"
    counted = TAKE.replace(b"keg->free--;", b"keg->free--;\n\tkeg->uk_taken++;") + reader
    assert [change.name for change in changes("x.c", TAKE + reader, counted)] == ["take"]


def test_functions_are_found_past_what_conditionals_leave_unbalanced() -> None:
    text = b"#ifdef A\nint f(void)\n{\n\tif (x) {\n#else\n\tif (y) {\n#endif\n\t}\n}\n" + TAKE
    assert set(definitions(text)) == {"f", "take"}


def test_tables_structures_and_calls_are_no_functions() -> None:
    text = (
        b"struct a {\n\tint b;\n};\nstatic int c[] = { 1, 2 };\nint d(int);\n"
        b"SYSINIT(e, SI_SUB_VM, SI_ORDER_ANY, f, NULL);\nstatic struct g h = {\n\t.i = j(1),\n};\n"
    )
    assert not definitions(text)


def test_added_and_removed_functions_are_changes_with_their_text() -> None:
    (added,) = changes("x.c", b"", TAKE)
    (removed,) = changes("x.c", TAKE, b"")
    assert added.name == removed.name == "take"
    assert "+take(struct keg *keg, int domain, const int flags)" in added.diff
    assert "-take(struct keg *keg, int domain, const int flags)" in removed.diff


@given(st.binary() | st.lists(st.sampled_from(TAKE.split(b" "))).map(b" ".join))
def test_any_text_is_read(text: bytes) -> None:
    functions = definitions(text)
    counters = pure_counters(functions)
    assert all(len(digest(each, counters)) == 16 for each in functions.values())
    assert not changes("x.c", text, text)
