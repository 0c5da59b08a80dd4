"""What a mutant does to a function: statements and expressions found by structure, then changed.

Everything is looked for in its normal form, so that layout, comments, superfluous parentheses and
tests against zero do not matter; and it must be there once, in every kernel's configuration.
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

# --- what to look for -----------------------------------------------------------------------


class StatementPattern(Protocol):
    """A statement to look for; printed as a noun phrase."""

    def matches(self, node: Node) -> bool:
        """Whether the node is the statement, in any layout."""
        ...

    def resembles(self, node: Node) -> bool:
        """Whether the node is the statement or a changed form of it."""
        ...


@dataclass(frozen=True, slots=True)
class If:
    """An ``if`` without ``else`` on ``when``; if ``does`` is given, it does exactly that."""

    when: str
    does: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"the branch on `{self.when}`"

    def matches(self, node: Node) -> bool:
        """See `StatementPattern.matches`."""
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
        """See `StatementPattern.resembles`: any ``if`` on the same names."""
        if node.type != "if_statement":
            return False
        named = _names(read_condition(self.when).expression)
        return any(named <= _names(condition.expression) for condition, _ in arms(node))


@dataclass(frozen=True, slots=True)
class CallStatement:
    """A statement that calls ``function`` with ``arguments`` and drops what it returns."""

    function: str
    arguments: str

    def __str__(self) -> str:
        return f"the call `{self.function}({self.arguments})`"

    def matches(self, node: Node) -> bool:
        """See `StatementPattern.matches`."""
        call = read_statement(f"{self.function}({self.arguments});")
        return normal_form(node) == normal_form(call)

    def resembles(self, node: Node) -> bool:
        """See `StatementPattern.resembles`: any call of the function."""
        return _calls(node, self.function)


@dataclass(frozen=True, slots=True)
class Statement:
    """One whole statement."""

    text: str

    def __str__(self) -> str:
        return f"the statement `{self.text}`"

    def matches(self, node: Node) -> bool:
        """See `StatementPattern.matches`."""
        return normal_form(node) == normal_form(read_statement(self.text))

    def resembles(self, node: Node) -> bool:
        """See `StatementPattern.resembles`: any of its kind that names what this one names."""
        wanted = read_statement(self.text)
        return node.type == wanted.type and _names_of(wanted) <= _names_of(node)


@dataclass(frozen=True, slots=True)
class CallOf:
    """Any call of ``function``, as a place for what is among its arguments."""

    function: str

    def __str__(self) -> str:
        return f"the call of {self.function}()"

    def matches(self, node: Node) -> bool:
        """See `StatementPattern.matches`."""
        return _calls(node, self.function)

    def resembles(self, node: Node) -> bool:
        """See `StatementPattern.resembles`."""
        return self.matches(node)


def _calls(node: Node, function: str) -> bool:
    called = node.child_by_field_name("function")
    return called is not None and normal_form(called) == function.encode()


def _names(expression: bytes) -> frozenset[bytes]:
    return frozenset(token for token in tokens(expression) if token.decode().isidentifier())


def _names_of(node: Node) -> frozenset[bytes]:
    return _names(node.text or b"")


# --- what to do with it ---------------------------------------------------------------------


class Edit(Protocol):
    """One change of a function's statements."""

    def apply(self, function: Function) -> bytes:
        """The file's text with the change made.

        Raises:
            Mismatch: the function does not have what is to be changed, or has it twice.
        """
        ...


@dataclass(frozen=True, slots=True)
class Drop:
    """Takes out the one statement ``target``.

    Args:
        target: the statement.
        given: it stands directly in an arm of an ``if`` where this holds; None: anywhere.
    """

    target: StatementPattern
    given: str | None = None

    def apply(self, function: Function) -> bytes:
        """See `Edit.apply`."""
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
    """Turns the one condition ``condition``, of a branch, a loop or a choice, into its opposite."""

    condition: str

    def apply(self, function: Function) -> bytes:
        """See `Edit.apply`."""
        node = _the_condition(function, self.condition, gone=lambda held: held.negated)
        return _replaced(function, node, b"(!" + _in_parentheses(node) + b")")


@dataclass(frozen=True, slots=True)
class Decide:
    """Takes the one condition ``condition`` for true, or for false, without looking."""

    condition: str
    holds: bool

    def apply(self, function: Function) -> bytes:
        """See `Edit.apply`."""
        node = _the_condition(function, self.condition, gone=lambda _: None)
        return _replaced(function, node, b"(true)" if self.holds else b"(false)")


@dataclass(frozen=True, slots=True)
class Replace:
    """Puts the expression ``new`` where the one expression ``old`` is.

    Args:
        old: the expression.
        new: its successor; what is ``old`` in it is not taken for the one looked for.
        inside: what it stands in; if a call, it is one of its arguments.
    """

    old: str
    new: str
    inside: StatementPattern | None = None

    def apply(self, function: Function) -> bytes:
        """See `Edit.apply`."""
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
    """Leaves a counter as it is: ``++counter`` and ``counter++`` become ``counter``."""

    counter: str

    def apply(self, function: Function) -> bytes:
        """See `Edit.apply`."""
        wanted = normal_form(read_expression(self.counter))
        found = [
            node
            for node in function.nodes()
            if node.type == "update_expression" and normal_form(_operand(node)) == wanted
        ]
        node = _the_one(function, found, [], f"a step of `{self.counter}`", "")
        return _replaced(function, node, _in_parentheses(_operand(node)))


def _operand(update: Node) -> Node:
    operand = update.child_by_field_name("argument")
    if operand is None:
        raise ValueError(f"{update.type} without an operand")
    return operand


# --- finding and changing -------------------------------------------------------------------


def _the_one(
    function: Function, found: Sequence[Node], similar: Sequence[Node], what: str, where: str
) -> Node:
    """The node that was found.

    Raises:
        Mismatch: there is none, there are several, or it is there in some kernels only.
    """

    def mismatch(cause: Cause, finding: str) -> Mismatch:
        return Mismatch(cause, f"{what} {finding}", function.excerpt)

    if any(_depends_on_configuration(node) for node in found or similar):
        raise mismatch(Cause.PREPROCESSOR_SPLIT, "depends on the kernel's configuration")
    if len(found) > 1:
        raise mismatch(Cause.STATEMENT_TWICE, f"is there {len(found)} times{where}")
    if found:
        return found[0]
    if similar:
        raise mismatch(Cause.STATEMENT_CHANGED, f"is not there{where}, only something like it")
    raise mismatch(Cause.STATEMENT_ABSENT, "is not there")


def _the_condition(
    function: Function, condition: str, gone: Callable[[Condition], Condition | None]
) -> Node:
    """The expression of the one condition; it is absent where what it is to become is there."""
    wanted = read_condition(condition)
    conditions = list(_conditions(function))
    found = [node for node in conditions if condition_of(node) == wanted]
    similar = [node for node in conditions if _names(wanted.expression) <= _names_of(node)]
    become = gone(wanted)
    if not found and any(condition_of(node) == become for node in conditions):
        similar = []
    return _the_one(function, found, similar, f"the condition `{condition}`", "")


def _conditions(function: Function) -> Iterator[Node]:
    """What branches, loops and choices depend on."""
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
    """The statements directly in a block, those that the preprocessor may leave out included."""
    for statement in statements(block):
        if is_directive(statement):
            for child in statement.named_children:
                yield from _built_sometimes(child) if is_directive(child) else (child,)
        else:
            yield statement


def _depends_on_configuration(node: Node) -> bool:
    """Whether preprocessor conditionals govern the statement or parts of it."""
    ancestor = node.parent
    while ancestor is not None and not is_directive(ancestor):
        ancestor = ancestor.parent
    return ancestor is not None or any(is_directive(each) for each in descendants(node))
