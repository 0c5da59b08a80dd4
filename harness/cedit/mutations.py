"""Every single small change of a function, found by its syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tree_sitter import Node

from harness.cedit.cnode import is_directive
from harness.cedit.csource import Cause, Function, Mismatch, Splice, spliced
from harness.cedit.definitions import has_no_effect

#: Words of C and of a subsystem, and what may stand in their place.
Exchanges = Mapping[bytes, tuple[bytes, ...]]

_OPERATORS: Final[Exchanges] = {
    b"==": (b"!=",), b"!=": (b"==",), b"<": (b"<=", b">="), b"<=": (b"<", b">"),
    b">": (b">=", b"<="), b">=": (b">", b"<"), b"&&": (b"||",), b"||": (b"&&",),
    b"+": (b"-",), b"-": (b"+",), b"*": (b"+",), b"/": (b"*",), b"%": (b"/",), b"&": (b"|",),
    b"|": (b"&",), b"<<": (b">>",), b">>": (b"<<",), b"++": (b"--",), b"--": (b"++",),
    b"+=": (b"-=",), b"-=": (b"+=",), b"|=": (b"&=",), b"&=": (b"|=",), b"~": (b"",),
    b"*=": (b"/=",), b"/=": (b"*=",), b"<<=": (b">>=",), b">>=": (b"<<=",),
}  # fmt: skip
_CONSTANTS: Final[Exchanges] = {
    b"0": (b"1",), b"1": (b"0", b"2"), b"true": (b"false",), b"false": (b"true",),
}  # fmt: skip
_WITH_OPERATOR: Final = frozenset(
    {"binary_expression", "update_expression", "assignment_expression", "unary_expression"}
)
_WITH_CONDITION: Final = frozenset(
    {"if_statement", "while_statement", "do_statement", "for_statement", "conditional_expression"}
)
_REMOVED: Final = frozenset(
    {"expression_statement", "goto_statement", "break_statement", "continue_statement"}
)
_DIRECTIVE: Final = re.compile(rb"^[ \t]*#", re.MULTILINE)
_ZEROS: Final = frozenset({b"0", b"false", b"NULL"})


class MutationKind(StrEnum):
    """What a mutation changes."""

    OPERATOR = "operator"
    CONSTANT = "constant"
    WORD = "word"
    CONDITION = "condition"
    STATEMENT = "statement"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class FunctionMutation:
    """A change of one place of a function.

    Args:
        kind: what is changed.
        splice: of the file's text.
        before: the text that is replaced.
    """

    kind: MutationKind
    splice: Splice
    before: bytes

    @property
    def description(self) -> str:
        """The change, in one line."""
        old = " ".join(self.before.decode("utf-8", "replace").split())
        if self.kind is MutationKind.STATEMENT:
            return f"without the statement {old}"
        new = " ".join(self.splice.replacement.decode("utf-8", "replace").split())
        return f"{self.kind}: {new or 'nothing'} in the place of {old}"


def mutations(function: Function, exchanges: Exchanges) -> tuple[FunctionMutation, ...]:
    """Return all mutations of a function, in the order of its text.

    Assertions, tracing and statistics are left out, and what a directive divides.

    Args:
        function: the function.
        exchanges: words that are exchanged, such as flags.
    """
    found = _Search(function.text, exchanges).below(function.body)
    return tuple(sorted(found, key=lambda each: (each.splice.start, each.splice.end)))


@dataclass(frozen=True, slots=True)
class _Search:
    """Finds the mutations below a node.

    Args:
        text: of the file; nodes may be of a masked one.
        exchanges: see ``mutations``.
    """

    text: bytes
    exchanges: Exchanges

    def below(self, node: Node) -> Iterator[FunctionMutation]:
        """Generate the mutations of a node and of all below it."""
        if is_directive(node) and not node.type.startswith("preproc_if"):
            return
        if node.type in ("comment", "string_literal", "char_literal", "sizeof_expression"):
            return
        if has_no_effect(node):
            return
        yield from (each for each in self._of(node) if not _DIRECTIVE.search(each.before))
        for child in node.children:
            yield from self.below(child)

    def _of(self, node: Node) -> Iterator[FunctionMutation]:
        kind, text = node.type, self._text(node)
        if kind in _WITH_OPERATOR:
            for child in node.children:
                yield from self._exchanged(MutationKind.OPERATOR, child, _OPERATORS)
        if kind in ("number_literal", "true", "false"):
            yield from self._exchanged(MutationKind.CONSTANT, node, _CONSTANTS)
        if kind in ("identifier", "field_identifier"):
            yield from self._exchanged(MutationKind.WORD, node, self.exchanges)
        if kind in _WITH_CONDITION and self._is_as_parsed(node):
            condition = node.child_by_field_name("condition")
            if condition is not None and condition.type != ";":
                negated = b"(!(%s))" % self._text(condition)
                yield self._replaced(MutationKind.CONDITION, condition, negated)
        if kind in _REMOVED and text != b";":
            yield self._replaced(MutationKind.STATEMENT, node, b";")
        if kind == "return_statement" and node.named_children:
            value = node.named_children[0]
            if self._text(value).strip(b"()") not in _ZEROS:
                yield self._replaced(MutationKind.RETURN, value, b"(0)")

    def _is_as_parsed(self, node: Node) -> bool:
        """Return whether a statement is no mask of a macro, whose arguments are no condition."""
        return self._text(node.children[0]) == node.children[0].text

    def _exchanged(
        self, kind: MutationKind, node: Node, exchanges: Exchanges
    ) -> Iterator[FunctionMutation]:
        for replacement in exchanges.get(self._text(node), ()):
            yield self._replaced(kind, node, replacement)

    def _replaced(self, kind: MutationKind, node: Node, replacement: bytes) -> FunctionMutation:
        splice = Splice(node.start_byte, node.end_byte, replacement)
        return FunctionMutation(kind, splice, self._text(node))

    def _text(self, node: Node) -> bytes:
        return self.text[node.start_byte : node.end_byte]


@dataclass(frozen=True, slots=True)
class NthMutation:
    """One of the mutations of a function; an ``Edit``.

    Args:
        ordinal: of the mutation, from 1.
        exchanges: see ``mutations``.
    """

    ordinal: int
    exchanges: Exchanges

    def apply(self, function: Function) -> bytes:
        """Return the file's text with the change made.

        Raises:
            Mismatch: the function has no such mutation.
        """
        found = mutations(function, self.exchanges)
        if self.ordinal > len(found):
            raise Mismatch(
                Cause.STATEMENT_ABSENT, f"the function has {len(found)} mutations", function.excerpt
            )
        return spliced(function.text, [found[self.ordinal - 1].splice])
