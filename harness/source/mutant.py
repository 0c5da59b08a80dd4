"""Mutants: small named changes of the kernel's source, made by structure.

A mutant names a function and what to do to its statements. It therefore fits every tree in which
the function still does these things, wherever it stands and however it is laid out, and is refused
on every other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Protocol

from tree_sitter import Node

from harness.errors import UsageError
from harness.source.cnode import (
    arms,
    descendants,
    is_directive,
    normal_form,
    read_condition,
    read_statement,
    statements,
)
from harness.source.csource import Cause, Function, Mismatch, read_function, tokens

_REMEDIES: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.FUNCTION_MISSING: "Take a FreeBSD tree, 13.0 or later, that has the function there.",
        Cause.FUNCTION_TWICE: "Leave one definition in the file: which one is built is not known.",
        Cause.UNREADABLE: "Mend the function, or give the change as a patch with --patch.",
        Cause.PREPROCESSOR_SPLIT: "Give the change as a patch with --patch.",
        Cause.STATEMENT_ABSENT: "Take a tree that has it, or run this one without the mutant.",
        Cause.STATEMENT_CHANGED: "Compare with the function below; give the change with --patch.",
        Cause.STATEMENT_TWICE: "Give the change as a patch with --patch: it must be unambiguous.",
    }
)


class MutantRefused(UsageError):  # noqa: N818 - says what happened, as the mutant is not at fault
    """The mutant does not fit the source; ``detail`` has the function's text as found."""

    def __init__(self, mutant: Mutant, mismatch: Mismatch) -> None:
        super().__init__(
            f"Mutant {mutant.name} does not fit {mutant.path}, function {mutant.function}: "
            f"{mismatch.cause}: {mismatch.finding}.",
            remedy=_REMEDIES[mismatch.cause],
            detail=mismatch.excerpt,
        )
        self.cause = mismatch.cause


class Target(Protocol):
    """A statement to look for; printed as a noun phrase."""

    def matches(self, node: Node) -> bool:
        """Whether the node is the statement, in any layout."""
        ...

    def resembles(self, node: Node) -> bool:
        """Whether the node is the statement or a changed form of it."""
        ...


@dataclass(frozen=True, slots=True)
class Branch:
    """An ``if`` without ``else`` that does exactly ``does`` if ``when`` holds."""

    when: str
    does: tuple[str, ...]

    def __str__(self) -> str:
        return f"the branch on `{self.when}`"

    def matches(self, node: Node) -> bool:
        """See `Target.matches`."""
        if not self.resembles(node):
            return False
        (condition, block), *others = arms(node)
        done = [normal_form(statement) for statement in statements(block)]
        expected = [normal_form(read_statement(statement)) for statement in self.does]
        return not others and condition == read_condition(self.when) and done == expected

    def resembles(self, node: Node) -> bool:
        """See `Target.resembles`: any ``if`` whose condition names what this one's names."""
        if node.type != "if_statement":
            return False
        named = _names(read_condition(self.when).expression)
        return any(named <= _names(condition.expression) for condition, _ in arms(node))


@dataclass(frozen=True, slots=True)
class Call:
    """A statement that calls ``function`` with ``arguments`` and drops what it returns."""

    function: str
    arguments: str

    def __str__(self) -> str:
        return f"the call `{self.function}({self.arguments})`"

    def matches(self, node: Node) -> bool:
        """See `Target.matches`."""
        call = read_statement(f"{self.function}({self.arguments});")
        return normal_form(node) == normal_form(call)

    def resembles(self, node: Node) -> bool:
        """See `Target.resembles`: any call of the function."""
        called = node.child_by_field_name("function")
        return called is not None and normal_form(called) == self.function.encode()


def _names(expression: bytes) -> frozenset[bytes]:
    return frozenset(token for token in tokens(expression) if token.decode().isidentifier())


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
    """Takes out the one statement ``target`` directly in an arm of an ``if`` where ``given``."""

    target: Target
    given: str

    def apply(self, function: Function) -> bytes:
        """See `Edit.apply`."""
        found = [
            statement
            for arm in function.arms(read_condition(self.given))
            for statement in _built_sometimes(arm)
            if self.target.matches(statement)
        ]
        similar = [node for node in function.nodes() if self.target.resembles(node)]
        if any(_depends_on_configuration(node) for node in found or similar):
            raise self._mismatch(
                function, Cause.PREPROCESSOR_SPLIT, "depends on the kernel's configuration"
            )
        if len(found) > 1:
            raise self._mismatch(
                function, Cause.STATEMENT_TWICE, f"is there {len(found)} times where `{self.given}`"
            )
        if found:
            return function.without_statement(found[0])
        if similar:
            raise self._mismatch(
                function,
                Cause.STATEMENT_CHANGED,
                f"is not there where `{self.given}`, only something like it",
            )
        raise self._mismatch(function, Cause.STATEMENT_ABSENT, "is not there")

    def _mismatch(self, function: Function, cause: Cause, finding: str) -> Mismatch:
        return Mismatch(cause, f"{self.target} {finding}", function.excerpt)


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


@dataclass(frozen=True, slots=True)
class Mutant:
    """A named change of one function.

    Attributes:
        name: what the user calls it.
        description: one line that says what the kernel lacks or does wrong with it.
        path: the file in the tree, for example ``sys/vm/uma_core.c``.
        function: the C function that is changed.
        edits: the changes, made in this order.
    """

    name: str
    description: str
    path: PurePosixPath
    function: str
    edits: tuple[Edit, ...]

    def apply(self, text: bytes) -> bytes:
        """The file's text with the mutant in it, fit for a build with ``-Werror``.

        A label that loses its last ``goto`` goes too (clang's -Wunused-label).

        Raises:
            MutantRefused: the text is not as the mutant expects.
        """
        try:
            for edit in self.edits:
                text = self._applied(edit, text)
        except Mismatch as mismatch:
            raise MutantRefused(self, mismatch) from mismatch
        return text

    def _applied(self, edit: Edit, text: bytes) -> bytes:
        before = read_function(text, self.function)
        after = read_function(edit.apply(before), self.function)
        return after.without_labels(before.goto_labels() - after.goto_labels())


_UMA_CORE = PurePosixPath("sys/vm/uma_core.c")
_NO_ROUND_ROBIN = "!rr"
_DROP_RESERVE_FALLBACK = Drop(
    Branch("flags & M_USE_RESERVE", does=("rdomain = UMA_ANYDOMAIN;", "goto restart;")),
    given=_NO_ROUND_ROBIN,
)
_DROP_DOMAIN_WAIT = Drop(Call("vm_wait_domain", "domain"), given=_NO_ROUND_ROBIN)


def _keg_fetch_slab(name: str, description: str, *edits: Edit) -> Mutant:
    return Mutant(name, description, _UMA_CORE, "keg_fetch_slab", edits)


MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {
        mutant.name: mutant
        for mutant in (
            _keg_fetch_slab(
                "drop-reserve-fallback",
                "M_USE_RESERVE does not look for a slab in other domains than the one asked for",
                _DROP_RESERVE_FALLBACK,
            ),
            _keg_fetch_slab(
                "drop-domain-wait",
                "M_WAITOK tries the domain again at once instead of waiting for its memory",
                _DROP_DOMAIN_WAIT,
            ),
            _keg_fetch_slab(
                "drop-commit",
                "keg_fetch_slab() as it was before it got its M_USE_RESERVE handling",
                _DROP_RESERVE_FALLBACK,
                _DROP_DOMAIN_WAIT,
            ),
        )
    }
)


def find_mutant(name: str) -> Mutant:
    """The mutant of this name.

    Raises:
        UsageError: there is none; the remedy names the closest, or all of them.
    """
    if name in MUTANTS:
        return MUTANTS[name]
    close = difflib.get_close_matches(name, MUTANTS, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"Known mutants: {', '.join(MUTANTS)}."
    raise UsageError(f"There is no mutant {name}.", remedy=remedy)
