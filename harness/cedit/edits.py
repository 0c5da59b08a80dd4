"""Edits of a function: statements and expressions are found by structure, then changed.

Texts are compared in normal form, so layout, comments, redundant parentheses and comparisons with
zero do not matter. A statement must occur exactly once, in every kernel configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tree_sitter import Node

from harness.cedit.cnode import (
    Condition,
    arms,
    condition_of,
    descendants,
    is_directive,
    normal_form,
    read_condition,
    read_expression,
    read_statement,
    statements,
)
from harness.cedit.csource import Cause, Function, Mismatch, Splice, spliced, tokens

# --- patterns of statements -----------------------------------------------------------------------


class StatementPattern(Protocol):
    """A pattern of a statement; its string is a noun phrase."""

    def matches(self, node: Node) -> bool:
        """Return whether the node is the statement, in any layout."""
        ...

    def resembles(self, node: Node) -> bool:
        """Return whether the node is the statement or a changed form of it."""
        ...


@dataclass(frozen=True, slots=True)
class If:
    """An ``if`` on ``when`` without ``else``; ``does``: exactly these statements."""

    when: str
    does: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"the branch on `{self.when}`"

    def matches(self, node: Node) -> bool:
        """Return whether the node is this ``if``."""
        if not self.resembles(node):
            return False
        (condition, block), *others = arms(node)
        if others or condition != read_condition(self.when):
            return False
        if self.does is None:
            return True
        done = [normal_form(statement) for statement in statements(block)]
        return done == [normal_form(read_statement(statement)) for statement in self.does]

    def resembles(self, node: Node) -> bool:
        """Return whether the node is an ``if`` on the same names."""
        if node.type != "if_statement":
            return False
        named = _names(read_condition(self.when).expression)
        return any(named <= _names(condition.expression) for condition, _ in arms(node))


@dataclass(frozen=True, slots=True)
class CallStatement:
    """A statement that calls ``function`` with ``arguments`` and ignores the result."""

    function: str
    arguments: str

    def __str__(self) -> str:
        return f"the call `{self.function}({self.arguments})`"

    def matches(self, node: Node) -> bool:
        """Return whether the node is this call."""
        call = read_statement(f"{self.function}({self.arguments});")
        return normal_form(node) == normal_form(call)

    def resembles(self, node: Node) -> bool:
        """Return whether the node is any call of the function."""
        return _calls(node, self.function)


@dataclass(frozen=True, slots=True)
class Statement:
    """A complete statement."""

    text: str

    def __str__(self) -> str:
        return f"the statement `{self.text}`"

    def matches(self, node: Node) -> bool:
        """Return whether the node is this statement."""
        return normal_form(node) == normal_form(read_statement(self.text))

    def resembles(self, node: Node) -> bool:
        """Return whether the node is a statement of the same kind with the same names."""
        wanted = read_statement(self.text)
        return node.type == wanted.type and _names_of(wanted) <= _names_of(node)


@dataclass(frozen=True, slots=True)
class CallOf:
    """Any call of ``function``, to find expressions among its arguments."""

    function: str

    def __str__(self) -> str:
        return f"the call of {self.function}()"

    def matches(self, node: Node) -> bool:
        """Return whether the node is a call of the function."""
        return _calls(node, self.function)

    def resembles(self, node: Node) -> bool:
        """Return whether the node is a call of the function."""
        return self.matches(node)


def _calls(node: Node, function: str) -> bool:
    called = node.child_by_field_name("function")
    return called is not None and normal_form(called) == function.encode()


def _names(expression: bytes) -> frozenset[bytes]:
    return frozenset(token for token in tokens(expression) if token.decode().isidentifier())


def _names_of(node: Node) -> frozenset[bytes]:
    return _names(node.text or b"")


# --- edits ----------------------------------------------------------------------------------


class Edit(Protocol):
    """A change of a function's statements."""

    def apply(self, function: Function) -> bytes:
        """Return the file's text with the change made.

        Raises:
            Mismatch: the function does not contain the statement or expression exactly once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Drop:
    """Removes a statement.

    Args:
        target: the statement.
        given: the condition of the arm of an ``if`` that directly contains it; None: anywhere.
    """

    target: StatementPattern
    given: str | None = None

    def apply(self, function: Function) -> bytes:
        """Return the text without the statement."""
        found = [node for node in self._candidates(function) if self.target.matches(node)]
        similar = [node for node in function.nodes() if self.target.resembles(node)]
        where = f" where `{self.given}`" if self.given else ""
        node = _the_one(function, found, similar, f"{self.target}", where)
        return function.without_statement(node)

    def _candidates(self, function: Function) -> Iterator[Node]:
        if self.given is None:
            yield from function.nodes()
            return
        for arm in function.arms(read_condition(self.given)):
            yield from _built_sometimes(arm)


@dataclass(frozen=True, slots=True)
class Negate:
    """Negates a condition of a branch, a loop or a conditional expression."""

    condition: str

    def apply(self, function: Function) -> bytes:
        """Return the text with the condition negated."""
        node = _the_condition(function, self.condition, gone=lambda condition: condition.negated)
        return _replaced(function, node, b"(!" + _in_parentheses(node) + b")")


@dataclass(frozen=True, slots=True)
class Decide:
    """Replaces a condition by a constant, true or false."""

    condition: str
    holds: bool

    def apply(self, function: Function) -> bytes:
        """Return the text with the constant."""
        node = _the_condition(function, self.condition, gone=lambda _: None)
        return _replaced(function, node, b"(true)" if self.holds else b"(false)")


@dataclass(frozen=True, slots=True)
class Replace:
    """Replaces an expression.

    Args:
        old: the expression.
        new: its replacement; occurrences of ``old`` inside of it are ignored.
        inside: the statement that contains it; for a call, it is one of the arguments.
    """

    old: str
    new: str
    inside: StatementPattern | None = None

    def apply(self, function: Function) -> bytes:
        """Return the text with the expression replaced."""
        done = self._found(function, self.new)
        found = [
            node
            for node in self._found(function, self.old)
            if not any(each.start_byte <= node.start_byte < each.end_byte for each in done)
        ]
        wanted = _names_of(read_expression(self.old))
        similar = [
            node
            for node in function.nodes()
            if node.type.endswith("expression") and wanted <= _names_of(node)
        ]
        if done and not found:
            similar = []
        where = f" in {self.inside}" if self.inside else ""
        node = _the_one(function, found, similar, f"`{self.old}`", where)
        return _replaced(function, node, self.new.encode())

    def _found(self, function: Function, expression: str) -> list[Node]:
        wanted = normal_form(read_expression(expression))
        return [
            node
            for place in self._places(function)
            for node in place
            if node.type not in ("parenthesized_expression", "field_identifier")
            and normal_form(node) == wanted
        ]

    def _places(self, function: Function) -> Iterator[Sequence[Node]]:
        if self.inside is None:
            yield list(function.nodes())
            return
        for node in function.nodes():
            if self.inside.matches(node):
                arguments = node.child_by_field_name("arguments")
                yield arguments.named_children if arguments else list(descendants(node))


@dataclass(frozen=True, slots=True)
class Hold:
    """Removes an increment or decrement: ``++counter`` and ``counter++`` become ``counter``."""

    counter: str

    def apply(self, function: Function) -> bytes:
        """Return the text without the increment or decrement."""
        wanted = normal_form(read_expression(self.counter))
        found = [
            node
            for node in function.nodes()
            if node.type == "update_expression" and normal_form(_operand(node)) == wanted
        ]
        node = _the_one(function, found, [], f"an increment of `{self.counter}`", "")
        return _replaced(function, node, _in_parentheses(_operand(node)))


def _operand(update: Node) -> Node:
    operand = update.child_by_field_name("argument")
    if operand is None:
        raise ValueError(f"{update.type} without an operand")
    return operand


# --- search and replacement -----------------------------------------------------------------


def _the_one(
    function: Function, found: Sequence[Node], similar: Sequence[Node], what: str, where: str
) -> Node:
    """Return the only node that was found.

    Raises:
        Mismatch: there is none, there are several, or it depends on the kernel configuration.
    """

    def mismatch(cause: Cause, finding: str) -> Mismatch:
        return Mismatch(cause, f"{what} {finding}", function.excerpt)

    if any(_depends_on_configuration(node) for node in found or similar):
        raise mismatch(Cause.PREPROCESSOR_SPLIT, "depends on the kernel's configuration")
    if len(found) > 1:
        raise mismatch(Cause.STATEMENT_TWICE, f"occurs {len(found)} times{where}")
    if found:
        return found[0]
    if similar:
        raise mismatch(Cause.STATEMENT_CHANGED, f"does not occur{where}; a similar one does")
    raise mismatch(Cause.STATEMENT_ABSENT, "does not occur")


def _the_condition(
    function: Function, condition: str, gone: Callable[[Condition], Condition | None]
) -> Node:
    """Return the expression of a condition; ``gone`` returns the condition after the edit.

    If the function already contains that one, the condition counts as absent, not as changed.
    """
    wanted = read_condition(condition)
    conditions = list(_conditions(function))
    found = [node for node in conditions if condition_of(node) == wanted]
    similar = [node for node in conditions if _names(wanted.expression) <= _names_of(node)]
    become = gone(wanted)
    if not found and any(condition_of(node) == become for node in conditions):
        similar = []
    return _the_one(function, found, similar, f"the condition `{condition}`", "")


def _conditions(function: Function) -> Iterator[Node]:
    """Generate the conditions of branches, loops and conditional expressions."""
    for node in function.nodes():
        condition = node.child_by_field_name("condition")
        if condition is not None and not is_directive(node):
            yield condition


def _replaced(function: Function, node: Node, replacement: bytes) -> bytes:
    return spliced(function.text, [Splice(node.start_byte, node.end_byte, replacement)])


def _in_parentheses(node: Node) -> bytes:
    text = node.text or b""
    return text if node.type == "parenthesized_expression" else b"(" + text + b")"


def _built_sometimes(block: Node) -> Iterator[Node]:
    """Generate the statements directly in a block, including those in preprocessor conditionals."""
    for statement in statements(block):
        if is_directive(statement):
            for child in statement.named_children:
                yield from _built_sometimes(child) if is_directive(child) else (child,)
        else:
            yield statement


def _depends_on_configuration(node: Node) -> bool:
    """Return whether the statement or a part of it is in a preprocessor conditional."""
    ancestor = node.parent
    while ancestor is not None and not is_directive(ancestor):
        ancestor = ancestor.parent
    return ancestor is not None or any(is_directive(each) for each in descendants(node))
