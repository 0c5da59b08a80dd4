"""What is read out of C text, and what a cut leaves of it."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cedit.cnode import normal_form, read_condition, read_statement
from harness.cedit.csource import Cause, Mismatch, Splice, read_function, spliced, tokens
from harness.cedit.masks import read_masked


def c(text: str) -> bytes:
    return dedent(text).lstrip("\n").encode()


def without_victim(text: bytes) -> bytes:
    """The text without the statement ``victim();`` of the function ``f``."""
    function = read_function(text, "f")
    (victim,) = (
        node
        for node in function.nodes()
        if node.type == "expression_statement" and normal_form(node) == normal_form(VICTIM)
    )
    return function.without_statement(victim)


VICTIM = read_statement("victim();")


class TestTokens:
    def test_leave_out_space_comments_directives_and_continued_lines(self) -> None:
        text = c(r"""
            #define A(x) \
                    B(x) /* over
                            two lines */
            a /* b */ += c; // d
            #include "e/*f"
            g \
            h
        """)
        assert tokens(text) == [b"a", b"+=", b"c", b";", b"g", b"h"]

    def test_keep_strings_and_characters_whole(self) -> None:
        text = rb"""f("/* } */", '"', "\"", '\'', 'a')"""
        assert tokens(text)[2:-1:2] == [b'"/* } */"', b"'\"'", rb'"\""', rb"'\''", b"'a'"]

    def test_take_the_longest_operator(self) -> None:
        text = b"a<<=1.5e3 ... b->c&&!d==e--|f"
        assert tokens(text) == b"a <<= 1.5e3 ... b -> c && ! d == e -- | f".split()


class TestFunction:
    @pytest.mark.parametrize(
        "other",
        [
            "int f(int);",
            "static int x = f(2);",
            "#define f(x) { x; }",
            "/* f(x) { } */",
            "struct f { int f; };",
            'static char *s = "f(x) {";',
            "int g(void) { if (f(1)) { return (f(2)); } return (f(3)); }",
            "SYSCTL_NODE(_vm, OID_AUTO, f, 0, NULL, 0);",
        ],
    )
    def test_is_told_from_everything_else_that_has_its_name(self, other: str) -> None:
        text = f"{other}\nint\nf(int x)\n{{\n\treturn (x);\n}}\n{other}\n".encode()
        assert read_function(text, "f").excerpt == "f(int x)\n{\n\treturn (x);\n}"

    def test_is_found_behind_code_that_no_grammar_reads(self) -> None:
        text = c("""
            int
            g(int x)
            {
            #ifdef A
                    if (x) {
            #else
                    if (!x) {
            #endif
                            FOREACH(x) { h(x); }
                    }
            }
            int f(int x) __attribute__((noinline)) { victim(); return (x); }
        """)
        assert without_victim(text) == text.replace(b" victim();", b"")

    def test_missing(self) -> None:
        with pytest.raises(Mismatch) as caught:
            read_function(b"int f(int); int x = f(1);", "f")
        assert caught.value.cause is Cause.FUNCTION_MISSING

    def test_defined_twice_names_both_lines(self) -> None:
        with pytest.raises(Mismatch, match="lines 2, 4") as caught:
            read_function(b"#ifdef A\nint f(int x) { }\n#else\nint f(int y) { }\n#endif\n", "f")
        assert caught.value.cause is Cause.FUNCTION_TWICE
        assert "int x" in caught.value.excerpt
        assert "int y" in caught.value.excerpt

    @pytest.mark.parametrize(
        "body",
        [
            "#ifdef A\nif (x) {\n#endif\ng();\n#ifdef A\n}\n#endif\n",
            "#ifdef A\nif (x)\n#else\nif (y)\n#endif\n{ g(); }\n",
            "#ifdef A\nif (x) {\n#else\nif (y) {\n#endif\ng(); }\n",
            "if (x) {\n#ifdef A\ng(); }\n#else\n}\n#endif\n",
        ],
    )
    def test_divided_by_the_preprocessor(self, body: str) -> None:
        with pytest.raises(Mismatch) as caught:
            read_function(f"void f(void) {{\n{body}}}\nvoid g(void) {{ }}\n".encode(), "f")
        assert caught.value.cause is Cause.PREPROCESSOR_SPLIT

    def test_unreadable_names_the_line(self) -> None:
        with pytest.raises(Mismatch, match="line 3") as caught:
            read_function(b"\nvoid f(void) {\n\tFOREACH(x, y) { g(x); }\n}\n", "f")
        assert caught.value.cause is Cause.UNREADABLE

    def test_with_macros_that_look_like_calls_is_readable(self) -> None:
        text = (
            b'void f(void) { MPASS(x != 0); KASSERT(x, ("%d", x)); CPU_FOREACH(i) { victim(); } }'
        )
        assert without_victim(text) == text.replace(b"{ victim(); }", b"{ }")

    def test_that_never_ends_is_unreadable(self) -> None:
        with pytest.raises(Mismatch) as caught:
            read_function(b"void f(void) { if (x) { g(); }", "f")
        assert caught.value.cause is Cause.UNREADABLE

    def test_excerpt_of_a_long_function_is_cut(self) -> None:
        text = b"void f(void) {\n" + b"\tg();\n" * 1000 + b"}\n"
        excerpt = read_function(text, "f").excerpt.splitlines()
        assert len(excerpt) < 200
        assert excerpt[-1] == "…"

    def test_in_a_file_that_is_not_utf8_keeps_its_bytes(self) -> None:
        text = b'/* \xe9t\xe9 */\nvoid f(void) {\n\t/* \xff */\n\tvictim();\n\tg("\xe9");\n}\n'
        assert without_victim(text) == text.replace(b"\t/* \xff */\n\tvictim();\n", b"")


class TestCondition:
    @pytest.mark.parametrize(
        "source",
        ["a & B", "(a & B)", "(a & B) != 0", "!((a & B) == 0)", "a /* c */ & B", "0 != 1 ? a : b"],
    )
    def test_is_its_own_double_negation(self, source: str) -> None:
        condition = read_condition(source)
        assert read_condition(f"!({source})") == condition.negated
        assert read_condition(f"!!({source})") == condition == condition.negated.negated

    @pytest.mark.parametrize("same", ["(a & B) != 0", "((a & B))", "!!(a & B)", "(a&B)!=NULL"])
    def test_tests_against_zero_are_the_expression_itself(self, same: str) -> None:
        assert read_condition(same) == read_condition("a & B")

    @pytest.mark.parametrize("opposite", ["(a & B) == 0", "!(a & B)", "(a & B) == false"])
    def test_equal_to_zero_is_the_opposite(self, opposite: str) -> None:
        assert read_condition(opposite) == read_condition("a & B").negated

    @pytest.mark.parametrize("other", ["a & C", "a | B", "a && B", "(a & B) == 1", "a & B & c"])
    def test_others_differ(self, other: str) -> None:
        assert read_condition(other) not in (
            read_condition("a & B"),
            read_condition("a & B").negated,
        )

    @pytest.mark.parametrize("text", ["", "a;", "a) b; if (c", "a b"])
    def test_of_no_expression_is_an_error(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            read_condition(text)


class TestNormalForm:
    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ("a = b + c * d;", "a=(b+(c*d)) ;"),
            ("f(a, b);", "f ( a,/* c */b ) ;"),
            ("goto out;", "goto\nout;"),
        ],
    )
    def test_of_the_same_statement_is_equal(self, left: str, right: str) -> None:
        assert normal_form(read_statement(left)) == normal_form(read_statement(right))

    @pytest.mark.parametrize(
        ("left", "right"),
        [("a = (b + c) * d;", "a = b + c * d;"), ("f(a);", "f(b);"), ("f(a);", "f((a, b));")],
    )
    def test_of_another_statement_differs(self, left: str, right: str) -> None:
        assert normal_form(read_statement(left)) != normal_form(read_statement(right))


class TestArms:
    @pytest.mark.parametrize(
        ("text", "arm"),
        [
            ("if (!a) x(); else y();", "x();"),
            ("if (a) y(); else x();", "x();"),
            ("if (a != 0) { y(); } else /* c */ { x(); }", "{ x(); }"),
            ("if (b) y(); else if (a == 0) x();", "x();"),
        ],
    )
    def test_are_found_by_what_holds_in_them(self, text: str, arm: str) -> None:
        function = read_function(f"void f(void) {{ {text} }}".encode(), "f")
        assert [each.text for each in function.arms(read_condition("!a"))] == [arm.encode()]


class TestWithoutStatement:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            pytest.param("g();\nvictim();\nh();\n", "g();\nh();\n", id="between"),
            pytest.param("g();\n\nvictim();\n\nh();\n", "g();\n\nh();\n", id="between blank lines"),
            pytest.param("\nvictim();\n\ng();\n", "\ng();\n", id="first"),
            pytest.param("victim();\n\ng();\n", "g();\n", id="first, blank line below"),
            pytest.param("g();\n\nvictim();\n", "g();\n", id="last"),
            pytest.param("victim();\n", "", id="alone"),
            pytest.param("g(); victim(); h();\n", "g(); h();\n", id="on a line with others"),
            pytest.param("victim(); g();\n", "g();\n", id="beginning a line"),
            pytest.param("g(); victim();\n", "g();\n", id="ending a line"),
            pytest.param("/* why */\nvictim();\ng();\n", "g();\n", id="comment above"),
            pytest.param("/* 1 */\n// 2\nvictim();\ng();\n", "g();\n", id="comments above"),
            pytest.param("victim(); /* why\nso */\ng();\n", "g();\n", id="comment behind"),
            pytest.param("victim(); // why\n// g\ng();\n", "// g\ng();\n", id="comment below"),
            pytest.param(
                "/* all */\n\nvictim();\ng();\n", "/* all */\n\ng();\n", id="comment apart"
            ),
            pytest.param(
                "g(); /* g */\nvictim();\n", "g(); /* g */\n", id="the neighbour's comment"
            ),
        ],
    )
    def test_takes_its_comments_and_blank_lines_along(self, before: str, after: str) -> None:
        text = "void\nf(void)\n{{\n{}}}\n"
        assert without_victim(text.format(before).encode()) == text.format(after).encode()

    def test_keeps_the_line_ends_of_the_file(self) -> None:
        text = b"void f(void) {\r\n\tg();\r\n\r\n\tvictim();\r\n\r\n\th();\r\n}\r\n"
        assert without_victim(text) == text.replace(b"\tvictim();\r\n\r\n", b"")

    @given(st.data())
    def test_leaves_the_rest_of_any_function_as_it_was(self, data: st.DataObject) -> None:
        hole = data.draw(HOLES)
        function = "void f(void) {{ {} }}"
        before = function.format(hole.replace(HOLE, "victim();"))
        braces_needed = not hole_is_in_block(hole)
        after = function.format(hole.replace(HOLE, "{ }" if braces_needed else ""))
        assert tokens(without_victim(before.encode())) == tokens(after.encode())


HOLE = "@"
STATEMENTS = st.recursive(
    st.sampled_from(["g();", "x = y;", "goto out;", "return;", ";", "/* c */ g();"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: "{ " + " ".join(each) + " }"),
        inner.map("for (;;) {}".format),
        inner.map("if (a) {{ {} }} else g();".format),
    ),
    max_leaves=5,
)
HOLES = st.recursive(
    st.just(HOLE),
    lambda inner: st.one_of(
        st.tuples(STATEMENTS, inner, STATEMENTS).map("\n".join).map("{{ {} }}".format),
        st.sampled_from(
            ["if (a) {}", "if (a) g(); else {}", "while (a) {}", "do {} while (a);", "l: {}"]
        ).flatmap(lambda around: inner.map(lambda hole: around.replace("{}", hole))),
        st.tuples(st.just("switch (a) { case 1: "), inner, st.just(" }")).map("".join),
    ),
    max_leaves=6,
)


def hole_is_in_block(hole: str) -> bool:
    """Whether nothing but a block demands what stands in the hole."""
    return not hole.partition(HOLE)[0].rstrip().endswith((")", "else", "do", ":"))


class TestWithoutLabels:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("g();\n\nout:\n\th();\n", "g();\n\n\th();\n"),
            ("g();\n\nout:\n\n\th();\n", "g();\n\n\th();\n"),
            ("g();\nout: h();\n", "g();\nh();\n"),
            ("g();\nout:\n\t/* h */\n\th();\n", "g();\n\t/* h */\n\th();\n"),
            ("again: out: h();\n", "again: h();\n"),
        ],
    )
    def test_what_they_label_stays(self, before: str, after: str) -> None:
        text = "void\nf(void)\n{{\n{}}}\n"
        function = read_function(text.format(before).encode(), "f")
        assert function.without_labels(frozenset({b"out"})) == text.format(after).encode()

    def test_gotos_name_labels(self) -> None:
        text = b"void f(void) { goto a; a: g(); b: if (x) goto c; c: ; }"
        assert read_function(text, "f").goto_labels() == {b"a", b"c"}


def test_splices_do_not_move_each_other() -> None:
    assert spliced(b"0123456789", [Splice(1, 2, b"one"), Splice(5, 7), Splice(8, 8, b"-")]) == (
        b"0one2347-89"
    )


def test_a_brace_that_each_arm_of_a_conditional_opens_is_one_brace() -> None:
    divided = c("""
        int first(void) {
        #ifdef SMALL
            if (x) {
        #else
            if (1) {
        #endif
                z();
            }
        }
        int second(void) { return (2); }
        """)
    with pytest.raises(Mismatch) as refused:
        read_function(divided, "first")
    assert "second" not in refused.value.excerpt
    assert "second" not in (read_masked(divided, "first").body.text or b"").decode()
