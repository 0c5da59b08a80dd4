"""The commit's mutants on a stand-in for the kernel's source, and the names of all mutants."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cedit.csource import Cause, tokens
from harness.errors import UsageError
from harness.mutation.mutant import Mutant, MutantRefused
from harness.subsystems.table import find_mutant, mutants

FALLBACK = find_mutant("drop-reserve-fallback")
WAIT = find_mutant("drop-domain-wait")
COMMIT = find_mutant("drop-commit")
EACH = pytest.mark.parametrize(
    "mutant", [FALLBACK, WAIT, COMMIT], ids=lambda mutant: str(mutant.name)
)
EVERY = pytest.mark.parametrize("mutant", mutants().values(), ids=mutants().keys())

FUNCTION = b"""\
static slab_t
keg_fetch_slab(keg_t keg, int rdomain, const int flags)
{
	int domain;
	bool rr;

	MPASS(keg != NULL);

restart:
	/* Whoever asks may leave the choice to us. */
	rr = rdomain == UMA_ANYDOMAIN;
	domain = rr ? next(keg) : rdomain;

	while (!take(keg, domain)) {
		if (!rr) {
			if ((flags & M_USE_RESERVE) != 0) {
				/* Any reserve will do. */
				rdomain = UMA_ANYDOMAIN;
				goto restart;
			}
			if ((flags & M_WAITOK) == 0)
				return (NULL);
			/* Memory comes back. */
			vm_wait_domain(domain);
		} else
			domain = next(keg);
	}
	return (keg->slab);
}
"""
LABEL = "restart:\n"
BRANCH = """\
			if ((flags & M_USE_RESERVE) != 0) {
				/* Any reserve will do. */
				rdomain = UMA_ANYDOMAIN;
				goto restart;
			}
"""
WAITING = """\
			/* Memory comes back. */
			vm_wait_domain(domain);
"""
NEIGHBOURS = (
    b"#define keg_fetch_slab_any(k) keg_fetch_slab(k, UMA_ANYDOMAIN, 0)\n",
    b"static slab_t keg_fetch_slab(keg_t, int, const int);\n",
    b'SYSCTL_NODE(_vm, OID_AUTO, debug, CTLFLAG_RD, NULL, "don\'t");\n',
    b"void\nuser(keg_t keg)\n{\n\tif (!rr) {\n\t\tvm_wait_domain(domain);\n\t}\n"
    b"\tMPASS(keg_fetch_slab(keg, 0, 0) != NULL);\n}\n",
    b"int\nother(void)\n{\n#ifdef A\n\tif (x) {\n#else\n\tif (y) {\n#endif\n\t\tz();\n\t}\n}\n",
)
GAPS = [
    " ",
    "\n",
    "\t",
    "\n\n\t",
    "\\\n",
    " /* vm_wait_domain(domain); */ ",
    " // goto restart; }\n",
]


def changed(old: str, new: str, text: bytes = FUNCTION) -> bytes:
    assert text.count(old.encode()) == 1
    return text.replace(old.encode(), new.encode())


def refusal(mutant: Mutant, text: bytes) -> MutantRefused:
    with pytest.raises(MutantRefused) as caught:
        mutant.apply(text)
    return caught.value


def layout(seed: int) -> bytes:
    """The function with other white space, comments and line ends between its tokens."""
    chances = random.Random(seed)
    words = [token.decode() for token in tokens(FUNCTION)]
    return "".join(word + chances.choice(GAPS) for word in words).encode()


class TestWhatGoes:
    def test_reserve_fallback_with_its_comment_and_the_label_that_only_it_used(self) -> None:
        assert FALLBACK.apply(FUNCTION) == changed(LABEL, "", changed(BRANCH, ""))

    def test_a_label_that_others_use_stays(self) -> None:
        text = changed("domain = next(keg);", "goto restart;")
        assert FALLBACK.apply(text) == changed(BRANCH, "", text)

    def test_a_label_that_nobody_used_before_stays(self) -> None:
        text = changed("\treturn (keg", "unused:\n\treturn (keg")
        assert b"unused:" in FALLBACK.apply(text)

    def test_domain_wait_with_its_comment(self) -> None:
        assert WAIT.apply(FUNCTION) == changed(WAITING, "")

    def test_commit_is_both_in_either_order(self) -> None:
        both = changed(LABEL, "", changed(BRANCH, "", changed(WAITING, "")))
        assert COMMIT.apply(FUNCTION) == both
        assert FALLBACK.apply(WAIT.apply(FUNCTION)) == both
        assert WAIT.apply(FALLBACK.apply(FUNCTION)) == both

    def test_an_arm_left_empty_remains_a_statement(self) -> None:
        arm = BRANCH.strip()
        text = b"void keg_fetch_slab(void) { restart: if (!rr) %s }" % arm.encode()
        assert tokens(FALLBACK.apply(text)) == tokens(b"void keg_fetch_slab(void) { if (!rr) { } }")


class TestOtherTrees:
    @EACH
    @given(st.builds(layout, st.integers(0, 10**6)))
    def test_layout_and_comments_do_not_matter(self, mutant: Mutant, text: bytes) -> None:
        assert tokens(mutant.apply(text)) == tokens(mutant.apply(FUNCTION))

    @given(st.builds(layout, st.integers(0, 10**6)))
    def test_commit_is_both_in_either_order_in_any_layout(self, text: bytes) -> None:
        assert COMMIT.apply(text) == WAIT.apply(FALLBACK.apply(text))
        assert tokens(COMMIT.apply(text)) == tokens(FALLBACK.apply(WAIT.apply(text)))

    @EACH
    @given(st.permutations(NEIGHBOURS), st.integers(0, len(NEIGHBOURS)))
    def test_wherever_the_function_stands_all_else_keeps_every_byte(
        self, mutant: Mutant, neighbours: list[bytes], place: int
    ) -> None:
        above, below = b"\n".join(neighbours[:place]), b"\n".join(neighbours[place:])
        assert mutant.apply(above + FUNCTION + below) == above + mutant.apply(FUNCTION) + below

    @pytest.mark.parametrize(
        "condition",
        [
            "flags & M_USE_RESERVE",
            "((flags & M_USE_RESERVE)) != 0",
            "(flags & /* c */ M_USE_RESERVE) != 0",
            "!((flags & M_USE_RESERVE) == 0)",
        ],
    )
    def test_the_same_condition_may_be_written_otherwise(self, condition: str) -> None:
        text = changed("(flags & M_USE_RESERVE) != 0", condition)
        assert FALLBACK.apply(text) == FALLBACK.apply(FUNCTION)

    def test_the_arm_may_be_the_other_one(self) -> None:
        inner = BRANCH + WAITING
        text = f"void keg_fetch_slab(void) {{ restart: if (rr) x(); else {{\n{inner}}} }}".encode()
        assert tokens(COMMIT.apply(text)) == tokens(
            b"void keg_fetch_slab(void) { if (rr) x(); else { } }"
        )


class TestRefused:
    @EACH
    def test_a_file_without_the_function(self, mutant: Mutant) -> None:
        refused = refusal(mutant, b"\n".join(NEIGHBOURS))
        assert refused.cause is Cause.FUNCTION_MISSING

    @EACH
    def test_a_file_with_the_function_twice(self, mutant: Mutant) -> None:
        text = b"#ifdef A\n" + FUNCTION + b"#else\n" + FUNCTION + b"#endif\n"
        assert refusal(mutant, text).cause is Cause.FUNCTION_TWICE

    @EACH
    def test_a_tree_that_is_so_already(self, mutant: Mutant) -> None:
        refused = refusal(mutant, mutant.apply(FUNCTION))
        assert refused.cause is Cause.STATEMENT_ABSENT
        assert "already absent" in refused.message

    def test_the_commit_where_half_of_it_is_out_already_names_that_half(self) -> None:
        refused = refusal(COMMIT, WAIT.apply(FUNCTION))
        assert refused.cause is Cause.STATEMENT_ABSENT
        assert "vm_wait_domain(domain)" in refused.message

    @pytest.mark.parametrize(
        ("mutant", "old", "new"),
        [
            pytest.param(FALLBACK, "= UMA_ANYDOMAIN;\n\t\t\t\tg", "= 0;\ng", id="does another"),
            pytest.param(FALLBACK, "\t\t\t\tgoto", "count++;\ngoto", id="does more"),
            pytest.param(FALLBACK, "goto restart;", "", id="does less"),
            pytest.param(FALLBACK, "}\n\t\t\tif", "} else if", id="has an else"),
            pytest.param(FALLBACK, "M_USE_RESERVE)", "(M_USE_RESERVE | M_X))", id="asks another"),
            pytest.param(FALLBACK, "RESERVE) != 0", "RESERVE) == 0", id="asks the opposite"),
            pytest.param(FALLBACK, "if (!rr)", "if (rr)", id="stands in the other arm"),
            pytest.param(FALLBACK, "if (!rr)", "if (!xx)", id="stands elsewhere"),
            pytest.param(WAIT, "wait_domain(domain)", "wait_domain(0)", id="waits for another"),
            pytest.param(WAIT, "vm_wait_dom", "x = vm_wait_dom", id="keeps the result"),
            pytest.param(WAIT, "vm_wait_dom", "if (x) vm_wait_dom", id="stands deeper"),
        ],
    )
    def test_code_that_changed(self, mutant: Mutant, old: str, new: str) -> None:
        assert refusal(mutant, changed(old, new)).cause is Cause.STATEMENT_CHANGED

    @pytest.mark.parametrize(
        ("mutant", "part"), [(FALLBACK, BRANCH), (WAIT, WAITING)], ids=["fallback", "wait"]
    )
    def test_a_statement_that_is_there_twice(self, mutant: Mutant, part: str) -> None:
        assert refusal(mutant, changed(part, part * 2)).cause is Cause.STATEMENT_TWICE

    @pytest.mark.parametrize(
        ("mutant", "part", "divided"),
        [
            (FALLBACK, BRANCH, f"#ifdef NUMA\n{BRANCH}#endif\n"),
            (FALLBACK, BRANCH, f"#ifdef NUMA\n{BRANCH}#else\n{BRANCH}#endif\n"),
            (FALLBACK, "goto restart;", "\n#ifdef NUMA\ngoto restart;\n#endif\n"),
            (FALLBACK, "restart;\n\t\t\t}\n", "restart;\n#ifdef A\n\t}\n#else\n\t}\n#endif\n"),
            (WAIT, WAITING, f"#ifdef A\nx();\n#elif defined(B)\n{WAITING}#endif\n"),
            (WAIT, WAITING, f"#ifdef A\n#ifdef B\n{WAITING}#endif\n#endif\n"),
            (WAIT, WAITING, f"{WAITING}#ifdef A\n#ifdef B\n{WAITING}#endif\n#endif\n"),
        ],
    )
    def test_a_statement_that_only_some_kernels_have(
        self, mutant: Mutant, part: str, divided: str
    ) -> None:
        assert refusal(mutant, changed(part, divided)).cause is Cause.PREPROCESSOR_SPLIT

    def test_but_not_for_something_similar_elsewhere_that_only_some_kernels_have(self) -> None:
        text = changed("\treturn (keg", "#ifdef A\n\tvm_wait_domain(0);\n#endif\n\treturn (keg")
        assert WAIT.apply(text) == changed(WAITING, "", text)

    def test_a_function_that_does_not_parse(self) -> None:
        text = changed("MPASS(keg != NULL);", "FOREACH(a, b) { x(); }")
        assert refusal(FALLBACK, text).cause is Cause.UNREADABLE

    def test_names_what_where_and_why_and_shows_the_function(self) -> None:
        refused = refusal(WAIT, b"int x;\n" + changed(WAITING, ""))
        for named in ("drop-domain-wait", "sys/vm/uma_core.c", "keg_fetch_slab"):
            assert named in refused.message
        assert refused.remedy
        assert refused.detail.startswith("keg_fetch_slab(keg_t keg")
        assert refused.detail.endswith("return (keg->slab);\n}")
        assert refused.exit_code == UsageError.exit_code


class TestNames:
    @EVERY
    def test_find_each(self, mutant: Mutant) -> None:
        assert find_mutant(mutant.name) is mutant

    @EVERY
    def test_have_a_description_of_one_line(self, mutant: Mutant) -> None:
        assert 0 < len(mutant.description) <= 90
        assert len(mutant.description.splitlines()) == 1

    @EVERY
    def test_say_the_function_and_what_is_done_to_it(self, mutant: Mutant) -> None:
        assert mutant.name.startswith((f"{mutant.function}.", "drop-"))
        assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9-]+)?|drop-[a-z-]+", mutant.name)

    def test_almost_right_are_answered_with_the_right_one(self) -> None:
        with pytest.raises(UsageError, match="did you mean --mutant drop-commit") as caught:
            find_mutant("drop-comit")
        assert "drop-comit" in caught.value.message

    def test_far_off_are_answered_with_the_way_to_list_them(self) -> None:
        with pytest.raises(UsageError) as caught:
            find_mutant("zzz")
        assert "harness mutants --list" in caught.value.remedy
