"""Statements and expressions of C as tree-sitter parses them, and when two say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_c
from tree_sitter import Language, Node, Parser

_ZERO = frozenset({b"0", b"false", b"NULL"})


def parse(block: bytes, *, offset: int = 0) -> Node:
    """The tree of a file that has nothing but this block, braces included, at ``offset``."""
    return Parser(Language(tree_sitter_c.language())).parse(b" " * offset + block).root_node


def descendants(node: Node) -> Iterator[Node]:
    """The node and every node below it, outer before inner, in the order of the text."""
    yield node
    for child in node.children:
        yield from descendants(child)


def normal_form(node: Node) -> bytes:
    """The tokens of a statement or expression, each operation in one pair of parentheses.

    Equal for texts that differ in white space, comments and superfluous parentheses only.
    """
    children = [child for child in node.children if child.type != "comment"]
    if node.type == "parenthesized_expression":
        return b" ".join(normal_form(child) for child in children[1:-1])
    if not children:
        return _source(node)
    return b"(" + b" ".join(normal_form(child) for child in children) + b")"


@dataclass(frozen=True, slots=True)
class Condition:
    """That an expression, in normal form and freed from tests against zero, is true or false."""

    expression: bytes
    holds: bool

    @property
    def negated(self) -> Condition:
        """That the expression is the opposite."""
        return Condition(self.expression, not self.holds)


def condition_of(expression: Node) -> Condition:
    """What holds when a condition is taken: ``!x``, ``x == 0``, ``(x) == NULL`` are the same."""
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
    """Each arm of an ``if``: what holds when it runs, and its statement."""
    condition = condition_of(_field(if_statement, "condition"))
    yield condition, _field(if_statement, "consequence")
    alternative = if_statement.child_by_field_name("alternative")
    if alternative is not None:
        yield condition.negated, next(statements(alternative))


def statements(block: Node) -> Iterator[Node]:
    """The statements of a block or behind an ``else``; of any other statement, just that one."""
    if block.type in ("compound_statement", "else_clause"):
        yield from (child for child in block.named_children if child.type != "comment")
    else:
        yield block


def is_directive(node: Node) -> bool:
    """Whether the node is a preprocessor directive or a region that one governs."""
    return node.type.startswith("preproc_")


def read_condition(source: str) -> Condition:
    """The condition that a C expression states.

    Raises:
        ValueError: the text is no expression.
    """
    return condition_of(_field(_read(f"if ({source}) ;"), "condition"))


def read_expression(source: str) -> Node:
    """The tree of one C expression.

    Raises:
        ValueError: the text is no expression.
    """
    return _read(f"{source};").named_children[0]


def read_statement(source: str) -> Node:
    """The tree of one C statement.

    Raises:
        ValueError: the text is no statement.
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
    """The name in a label or a ``goto``."""
    return _source(_field(node, "label"))


def colon(labeled_statement: Node) -> Node:
    """The end of a label."""
    return next(child for child in labeled_statement.children if child.type == ":")
