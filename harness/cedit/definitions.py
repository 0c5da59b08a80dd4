"""The function definitions of a C file, and their comparison.

A file is split into tokens, not parsed: kernel macros and preprocessor conditionals would make a
parser fail. By style(9), the braces of a function are in the first column, so functions after one
with unbalanced braces in conditionals are still found.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tree_sitter import Node

from harness.cedit.cnode import descendants, parse
from harness.cedit.csource import lexemes, tokens

_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*")
#: Names of assertions, tracing and statistics: KASSERT(9), MPASS(9), ktr(9), SDT(9), counter(9).
_WITHOUT_EFFECT = re.compile(
    rb"_*(?:[A-Z0-9]+_)*(?:KASSERT|MPASS\w*|ASSERT\w*|CTR\d|SDT_PROBE\w*)"
    rb"|counter_u64_add(?:_protected)?"
)
_SUMS = frozenset({b"+=", b"-="})
_INCREMENTS = frozenset({b"++", b"--", *_SUMS})


@dataclass(frozen=True, slots=True)
class Definition:
    """A function of a file.

    Args:
        name: the function's name.
        text: the text from its return type to its closing brace.
        parameters: the tokens between the parentheses.
        body: the text from brace to brace.
        words: the tokens of the body.
    """

    name: str
    text: bytes
    parameters: tuple[bytes, ...]
    body: bytes
    words: tuple[bytes, ...]


def definitions(text: bytes) -> Mapping[str, Definition]:
    """Return the functions of a file by name; of several with the same name, the first.

    Preprocessor conditionals are not evaluated: all arms are read.
    """
    found: dict[str, Definition] = {}
    for each in _definitions(text):
        found.setdefault(each.name, each)
    return found


def _definitions(text: bytes) -> Iterator[Definition]:
    depth = opening = 0
    head: list[re.Match[bytes]] = []
    words: list[bytes] = []
    for lexeme in lexemes(text):
        token = lexeme.group()
        if token == b"{":
            depth = 0 if _in_first_column(lexeme) else depth
            if depth == 0:
                opening, words = lexeme.start(), []
            depth += 1
        elif token == b"}":
            depth = 0 if _in_first_column(lexeme) else max(0, depth - 1)
            if depth == 0:
                span = slice(opening, lexeme.end())
                yield from _defined(text, head, span, (*words, token))
                head = []
        elif depth == 0 and token == b";":
            head = []
        elif depth == 0:
            head.append(lexeme)
        words.append(token)


def _in_first_column(lexeme: re.Match[bytes]) -> bool:
    start = lexeme.start()
    return start == 0 or lexeme.string[start - 1 : start] == b"\n"


def _defined(
    text: bytes, head: Sequence[re.Match[bytes]], body: slice, words: tuple[bytes, ...]
) -> Iterator[Definition]:
    """Generate the function whose head is before a brace, if it is a function's head."""
    heading = [lexeme.group() for lexeme in head]
    if b"(" not in heading or b")" not in heading or b"=" in heading:
        return
    first, last = heading.index(b"("), len(heading) - 1 - heading[::-1].index(b")")
    if first == 0 or not _IDENTIFIER.fullmatch(heading[first - 1]):
        return
    yield Definition(
        name=heading[first - 1].decode(),
        text=text[head[0].start() : body.stop],
        parameters=tuple(heading[first + 1 : last]),
        body=text[body],
        words=words,
    )


# --- comparison by digest -------------------------------------------------------------------


def digest(function: Definition, counters: frozenset[bytes] = frozenset()) -> str:
    """Return a digest that is equal for functions that differ in form only.

    Ignored are layout, comments, names of parameters, local variables and labels, positions of
    declarations, assertions, tracing and statistics.

    Args:
        function: the function.
        counters: names that its file increments and never reads (``pure_counters``).
    """
    root = parse(function.body)
    significant = _SignificantTokens(function, counters)
    words = function.words if root.has_error else list(significant(root))
    return hashlib.sha256(b" ".join(words)).hexdigest()[:16]


def digests(text: bytes, names: Container[str]) -> dict[str, str]:
    """Return the digests of a file's functions with these names."""
    functions = definitions(text)
    counters = pure_counters(functions)
    return {name: digest(each, counters) for name, each in functions.items() if name in names}


def pure_counters(functions: Mapping[str, Definition]) -> frozenset[bytes]:
    """Return the names that these functions increment and never read."""
    counted: set[bytes] = set()
    read: set[bytes] = set()
    for function in functions.values():
        words = function.words
        steps = {
            place - 1
            for place, word in enumerate(words)
            if word in _INCREMENTS and (word in _SUMS or words[place + 1] == b";")
        }
        counted.update(words[place] for place in steps)
        read.update(word for place, word in enumerate(words) if place not in steps)
    return frozenset(name for name in counted - read if _IDENTIFIER.match(name))


class _SignificantTokens:
    """Generates the significant tokens of a function, with its own names numbered.

    A parameter is identified by its position, a local variable by its type and its first use.
    """

    def __init__(self, function: Definition, counters: frozenset[bytes]) -> None:
        self._counters = counters
        self._names = dict(_parameters(function.parameters))
        self._types: dict[bytes, bytes] = {}

    def __call__(self, node: Node) -> Iterator[bytes]:
        if node.type == "declaration":
            yield from self._declaration(node)
        elif node.type == "comment" or self._is_without_effect(node):
            return
        elif node.children and node.type not in ("string_literal", "char_literal"):
            for child in node.children:
                yield from self(child)
        else:
            yield self._word(node)

    def _declaration(self, node: Node) -> Iterator[bytes]:
        """Record the types of declared variables; generate only initializers."""
        declared = node.child_by_field_name("type")
        for child in node.children_by_field_name("declarator"):
            name = next((one for one in descendants(child) if one.type == "identifier"), None)
            if name is None or declared is None:
                continue
            shape = [w for w in tokens(_text(child).partition(b"=")[0]) if w in (b"*", b"[")]
            self._types[_text(name)] = b" ".join([*tokens(_text(declared)), *shape])
            if child.type == "init_declarator":
                yield from self(child)
                yield b";"

    def _is_without_effect(self, node: Node) -> bool:
        if has_no_effect(node):
            return True
        if node.type != "expression_statement" or not node.named_children:
            return False
        expression = node.named_children[0]
        argument = expression.child_by_field_name("argument")
        target = argument or expression.child_by_field_name("left")
        names = _IDENTIFIER.findall(_text(target)) if target is not None else []
        steps = any(child.type.encode() in _INCREMENTS for child in expression.children)
        return steps and bool(names) and names[-1] in self._counters

    def _word(self, node: Node) -> bytes:
        text = _text(node)
        key = b":" + text if node.type == "statement_identifier" else text
        kind = b"label" if key != text else self._types.get(text)
        if node.type not in ("identifier", "statement_identifier"):
            return text
        if kind is not None and key not in self._names:
            self._names[key] = b"$%d %s" % (len(self._names), kind)
        return self._names.get(key, text)


def has_no_effect(node: Node) -> bool:
    """Return whether a node is the statement of an assertion, of tracing or of statistics."""
    if node.type != "expression_statement" or not node.named_children:
        return False
    called = node.named_children[0].child_by_field_name("function")
    return called is not None and bool(_WITHOUT_EFFECT.fullmatch(_text(called)))


def _parameters(words: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Generate each parameter's name and its placeholder."""
    position, name = 0, b""
    for word in (*words, b","):
        if word == b",":
            yield name, b"$parameter%d" % position
            position += 1
        elif _IDENTIFIER.fullmatch(word) and not word.startswith(b"__"):
            name = word


def _text(node: Node) -> bytes:
    return node.text or b""


# --- differences of two files ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FunctionChange:
    """A changed function.

    Args:
        name: the function's name.
        path: the path of its file.
        diff: the changes, in the format of ``diff -up``.
    """

    name: str
    path: str
    diff: str


def changes(path: str, before: bytes, after: bytes) -> tuple[FunctionChange, ...]:
    """Return the functions that differ between two texts of a file, or are in one only.

    Functions with equal digests do not differ.
    """
    if before == after:
        return ()
    old, new = definitions(before), definitions(after)
    counters = pure_counters(old) | pure_counters(new)
    return tuple(
        FunctionChange(name, path, _diff(name, path, old.get(name), new.get(name)))
        for name in dict.fromkeys((*new, *old))
        if _differs(old.get(name), new.get(name), counters)
    )


def _differs(old: Definition | None, new: Definition | None, counters: frozenset[bytes]) -> bool:
    if old is None or new is None:
        return True
    return old.text != new.text and digest(old, counters) != digest(new, counters)


def _diff(name: str, path: str, old: Definition | None, new: Definition | None) -> str:
    sides = (f"a/{path}", f"b/{path}")
    lines = difflib.unified_diff(_lines(old), _lines(new), *sides, lineterm="")
    return "\n".join(f"{line} {name}" if line.startswith("@@") else line for line in lines)


def _lines(function: Definition | None) -> list[str]:
    return function.text.decode(errors="replace").splitlines() if function else []
