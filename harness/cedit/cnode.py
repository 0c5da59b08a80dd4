"""Statements and expressions of C, as parsed by tree-sitter, and their normal form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_c
from tree_sitter import Language, Node, Parser

_ZERO = frozenset({b"0", b"false", b"NULL"})


def parse(block: bytes, *, offset: int = 0) -> Node:
    """Return the tree of a block, with braces, whose nodes have offsets from ``offset`` on."""
    return Parser(Language(tree_sitter_c.language())).parse(b" " * offset + block).root_node


def descendants(node: Node) -> Iterator[Node]:
    """Generate the node and all nodes below it, outer before inner, in the order of the text."""
    yield node
    for child in node.children:
        yield from descendants(child)


def normal_form(node: Node) -> bytes:
    """Return the tokens of a statement or expression, each operation in one pair of parentheses.

    The result is equal for texts that differ only in white space, comments and redundant
    parentheses.
    """
    children = [child for child in node.children if child.type != "comment"]
    if node.type == "parenthesized_expression":
        return b" ".join(normal_form(child) for child in children[1:-1])
    if not children:
        return _source(node)
    return b"(" + b" ".join(normal_form(child) for child in children) + b")"


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression, in normal form without comparisons with zero, and whether it must be true."""

    expression: bytes
    holds: bool

    @property
    def negated(self) -> Condition:
        """The opposite condition."""
        return Condition(self.expression, not self.holds)


def condition_of(expression: Node) -> Condition:
    """Return the condition of an expression; ``!x``, ``x == 0`` and ``(x) == NULL`` are equal."""
    operands = [child for child in expression.children if child.type != "comment"]
    match [_source(operand) for operand in operands]:
        case [b"(", _, b")"]:
            return condition_of(operands[1])
        case [b"!", _]:
            return condition_of(operands[1]).negated
        case [_, b"==" | b"!=" as comparison, zero] if zero in _ZERO:
            compared = condition_of(operands[0])
            return compared.negated if comparison == b"==" else compared
    return Condition(normal_form(expression), holds=True)


def arms(if_statement: Node) -> Iterator[tuple[Condition, Node]]:
    """Generate the condition and the statement of each arm of an ``if``."""
    condition = condition_of(_field(if_statement, "condition"))
    yield condition, _field(if_statement, "consequence")
    alternative = if_statement.child_by_field_name("alternative")
    if alternative is not None:
        yield condition.negated, next(statements(alternative))


def statements(block: Node) -> Iterator[Node]:
    """Generate the statements of a block or an ``else``; any other statement is returned itself."""
    if block.type in ("compound_statement", "else_clause"):
        yield from (child for child in block.named_children if child.type != "comment")
    else:
        yield block


def is_directive(node: Node) -> bool:
    """Return whether the node is a preprocessor directive or conditional."""
    return node.type.startswith("preproc_")


def read_condition(source: str) -> Condition:
    """Return the condition of a C expression.

    Raises:
        ValueError: the text is not an expression.
    """
    return condition_of(_field(_read(f"if ({source}) ;"), "condition"))


def read_expression(source: str) -> Node:
    """Return the tree of a C expression.

    Raises:
        ValueError: the text is not an expression.
    """
    return _read(f"{source};").named_children[0]


def read_statement(source: str) -> Node:
    """Return the tree of a C statement.

    Raises:
        ValueError: the text is not one statement.
    """
    return _read(source)


def _read(statement: str) -> Node:
    root = parse(b"{" + statement.encode() + b"}")
    (block,) = root.named_children
    if root.has_error or block.named_child_count != 1:
        raise ValueError(f"not one C statement: {statement}")
    return block.named_children[0]


def _source(node: Node) -> bytes:
    return node.text or b""


def _field(node: Node, name: str) -> Node:
    child = node.child_by_field_name(name)
    if child is None:
        raise ValueError(f"{node.type} without {name}")
    return child


def label(node: Node) -> bytes:
    """Return the name in a label or a ``goto``."""
    return _source(_field(node, "label"))


def colon(labeled_statement: Node) -> Node:
    """Return the colon of a label."""
    return next(child for child in labeled_statement.children if child.type == ":")
