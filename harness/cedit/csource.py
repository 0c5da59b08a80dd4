"""Reading and editing of one C function of a kernel source file.

The file is only split into tokens: kernel macros, and code divided by preprocessor conditionals,
would make a parser fail for all functions below. Only the body of the function is parsed, with
tree-sitter and with the offsets of the file, so that an edit is a range of bytes of the file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from tree_sitter import Node

from harness.cedit.cnode import Condition, arms, colon, descendants, label, parse

_LEXEME = re.compile(
    rb"""
    (?P<comment> /\*.*?\*/ | //(?:\\\r?\n|[^\n])* )
  | (?P<directive> ^[ \t]*\#(?:\\\r?\n|"(?:\\.|[^"\\\n])*"|/\*.*?\*/|[^\n])* )
  | (?P<token>
      "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \.?\d[\w.]* | \w+
    | \+\+ | -- | && | \|\| | -> | (?:<<|>>)=? | [-+*/%&|^!=<>]= | \.{3}
    | (?!\\\r?\n)\S
    )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_CLOSER = {b"(": b")", b"{": b"}"}
_EXCERPT_LINES = 150
#: A directive that begins, divides or ends a conditional.
CONDITIONAL = re.compile(rb"[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif)\b")


#: Replaces what is no C in a body by as many bytes.
Mask = Callable[[bytes], bytes]


class Cause(StrEnum):
    """Reasons why an edit does not apply to a function."""

    FUNCTION_MISSING = "function missing"
    FUNCTION_TWICE = "function found twice"
    UNREADABLE = "function unreadable"
    PREPROCESSOR_SPLIT = "split by the preprocessor"
    STATEMENT_ABSENT = "already absent"
    STATEMENT_CHANGED = "statement not found"
    STATEMENT_TWICE = "statement found twice"


class Mismatch(Exception):  # noqa: N818 - callers convert it to their own error
    """An edit does not apply to the text.

    Args:
        cause: the kind of reason.
        finding: a clause that states what was searched for and what was found.
        excerpt: the function's text; empty if there is none.
    """

    def __init__(self, cause: Cause, finding: str, excerpt: str = "") -> None:
        super().__init__(finding)
        self.cause = cause
        self.finding = finding
        self.excerpt = excerpt


@dataclass(frozen=True, slots=True)
class Splice:
    """The replacement of the bytes from ``start`` to ``end`` (exclusive) of a file."""

    start: int
    end: int
    replacement: bytes = b""


def spliced(text: bytes, splices: Iterable[Splice]) -> bytes:
    """Return the text with all replacements made; they must not overlap."""
    for splice in sorted(splices, key=lambda each: each.start, reverse=True):
        text = text[: splice.start] + splice.replacement + text[splice.end :]
    return text


# --- tokens ---------------------------------------------------------------------------------


def tokens(text: bytes) -> list[bytes]:
    """Return the C tokens of a text, without comments and preprocessor directives."""
    return [match.group() for match in lexemes(text)]


def lexemes(text: bytes) -> Iterator[re.Match[bytes]]:
    """Generate the matches of C tokens, without comments and preprocessor directives."""
    return (match for match in _LEXEME.finditer(text) if match.lastgroup == "token")


def lexemes_and_directives(text: bytes) -> Iterator[re.Match[bytes]]:
    """Generate the matches of C tokens and directives; ``lastgroup`` tells them apart."""
    return (match for match in _LEXEME.finditer(text) if match.lastgroup != "comment")


def _lexemes_once(text: bytes) -> Iterator[re.Match[bytes]]:
    """Generate the matches of C tokens so that braces are in pairs.

    Where the first arm of a conditional opens or closes a brace, the other arms do that as well:
    of such a conditional only the first arm is generated.
    """
    depth, skipping = 0, 0
    outer: list[tuple[int, bool]] = []
    for match in lexemes_and_directives(text):
        word = CONDITIONAL.match(match.group()) if match.lastgroup == "directive" else None
        if word is not None and word[1].startswith(b"if"):
            outer.append((depth, False))
        elif word is not None and outer:
            before, skipped = outer.pop()
            skipping -= skipped
            if word[1] != b"endif":
                skipped = skipped or depth != before
                skipping += skipped
                outer.append((before, skipped))
        elif match.lastgroup == "token" and not skipping:
            depth += (match.group() == b"{") - (match.group() == b"}")
            yield match


@dataclass(frozen=True, slots=True)
class _Extent:
    """Byte offsets of a function definition: its name, and its body with braces."""

    name: int
    body: int
    end: int


@functools.lru_cache(maxsize=2)
def _lexemes_of(text: bytes) -> Sequence[re.Match[bytes]]:
    """Return these tokens of a file, which is asked for many functions and changes in turn."""
    return tuple(_lexemes_once(text))


def _definitions(text: bytes, name: bytes) -> Iterator[_Extent]:
    found = _lexemes_of(text)
    for index, lexeme in enumerate(found):
        if lexeme.group() == name and (opening := _body_opening(found, index + 1)) is not None:
            last = closing(found, opening)
            yield _Extent(lexeme.start(), found[opening].start(), found[last].end())


def _body_opening(lexemes: Sequence[re.Match[bytes]], index: int) -> int | None:
    """Return the index of the ``{`` after a parameter list at ``index``, or None.

    Only a definition has a brace there: a call is followed by an operator or ``;``, a prototype by
    ``;``. Attributes (``__attribute__((…))``, ``__unused``) may come in between.
    """
    seen_parameters = False
    while index < len(lexemes):
        token = lexemes[index].group()
        if token == b"(":
            index = closing(lexemes, index)
            seen_parameters = True
        elif token == b"{" and seen_parameters:
            return index
        elif not (seen_parameters and token.startswith(b"__")):
            return None
        index += 1
    return None


def closing(lexemes: Sequence[re.Match[bytes]], opening: int) -> int:
    """Return the index of the bracket that closes the one at ``opening``, else the last index."""
    opener = lexemes[opening].group()
    closer = _CLOSER[opener]
    depth = 0
    for index in range(opening, len(lexemes)):
        token = lexemes[index].group()
        depth += (token == opener) - (token == closer)
        if depth == 0:
            return index
    return len(lexemes) - 1


# --- one function ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Function:
    """A function definition in the text of its file; ``body`` has the file's offsets."""

    text: bytes
    name: str
    body: Node
    excerpt: str

    def nodes(self) -> Iterator[Node]:
        """Generate all nodes of the body, outer before inner, in the order of the text."""
        return descendants(self.body)

    def arms(self, condition: Condition) -> Iterator[Node]:
        """Generate the arms of all ``if`` statements that are executed if the condition holds."""
        for node in self.nodes():
            if node.type == "if_statement":
                yield from (arm for holding, arm in arms(node) if holding == condition)

    def goto_labels(self) -> frozenset[bytes]:
        """Return the labels that a ``goto`` names."""
        return frozenset(label(node) for node in self.nodes() if node.type == "goto_statement")

    def without_labels(self, names: frozenset[bytes]) -> bytes:
        """Return the file's text without these labels; the labeled statements are kept."""
        labels = (node for node in self.nodes() if node.type == "labeled_statement")
        return spliced(
            self.text,
            (
                _cut(self.text, node.start_byte, colon(node).end_byte)
                for node in labels
                if label(node) in names
            ),
        )

    def without_statement(self, statement: Node) -> bytes:
        """Return the file's text without a statement and its comments.

        Its comments are those inside of it, directly above it on lines of their own, and after it
        on its last line. Where C requires a statement, an empty block remains.
        """
        if statement.parent is None or statement.parent.type != "compound_statement":
            return spliced(
                self.text, [Splice(statement.start_byte, statement.end_byte, replacement=b"{ }")]
            )
        start, end = self._with_comments(statement)
        return spliced(self.text, [_cut(self.text, start, end)])

    def _with_comments(self, statement: Node) -> tuple[int, int]:
        start, end = statement.start_byte, statement.end_byte
        above = statement.prev_sibling
        while above is not None and above.type == "comment" and self._leads_to(above, start):
            start = above.start_byte
            above = above.prev_sibling
        behind = statement.next_sibling
        while behind is not None and behind.type == "comment":
            if b"\n" in self.text[end : behind.start_byte]:
                break
            end = behind.end_byte
            behind = behind.next_sibling
        return start, end

    def _leads_to(self, comment: Node, start: int) -> bool:
        """Return whether a comment is on a line of its own, directly above ``start``."""
        indent = self.text[_line_start(self.text, comment.start_byte) : comment.start_byte]
        lines_down = self.text.count(b"\n", comment.end_byte, start)
        return not indent.strip() and lines_down <= 1


def read_function(text: bytes, name: str, masks: Sequence[Mask] = ()) -> Function:
    """Return the only definition of a function in the text of a C file.

    Args:
        text: the text of the file.
        name: the name of the function.
        masks: tried in turn on a body that cannot be parsed; the nodes are of the first masked body
            that can be.

    Raises:
        Mismatch: it is missing, defined more than once, or cannot be parsed, mostly because
            preprocessor conditionals divide its statements.
    """
    extents = list(_definitions(text, name.encode()))
    excerpts = [_excerpt(text, extent) for extent in extents]
    if not extents:
        raise Mismatch(Cause.FUNCTION_MISSING, "the file does not define the function")
    if len(extents) > 1:
        lines = ", ".join(str(_line_number(text, extent.name)) for extent in extents)
        raise Mismatch(
            Cause.FUNCTION_TWICE,
            f"the file defines the function {len(extents)} times, in lines {lines}",
            "\n\n".join(excerpts),
        )
    (extent,), (excerpt,) = extents, excerpts
    body = text[extent.body : extent.end]
    plain = parse(body, offset=extent.body)
    masked = (parse(mask(body), offset=extent.body) for mask in masks)
    root = next((each for each in chain((plain,), masked) if not each.has_error), None)
    if root is None:
        raise _unparsable(text, plain, excerpt)
    return Function(text, name, root.named_children[0], excerpt)


def _unparsable(text: bytes, root: Node, excerpt: str) -> Mismatch:
    error = next(node for node in descendants(root) if node.is_error or node.is_missing)
    finding = f"line {_line_number(text, error.start_byte)} does not parse as C"
    if any(match.lastgroup == "directive" for match in _LEXEME.finditer(root.text or b"")):
        return Mismatch(
            Cause.PREPROCESSOR_SPLIT,
            f"{finding}, because preprocessor conditionals divide the function",
            excerpt,
        )
    return Mismatch(Cause.UNREADABLE, finding, excerpt)


def _excerpt(text: bytes, extent: _Extent) -> str:
    found = text[_line_start(text, extent.name) : extent.end].decode(errors="replace")
    lines = found.splitlines()
    return "\n".join(lines[:_EXCERPT_LINES] + ["…"] * (len(lines) > _EXCERPT_LINES))


# --- white space ----------------------------------------------------------------------------


def _cut(text: bytes, start: int, end: int) -> Splice:
    """Return the removal of a range and the white space that belongs to it.

    Whole lines are removed if nothing else is on them, with blank lines around them that would be
    doubled, or would follow an opening brace or precede a closing one.
    """
    first, last = _line_start(text, start), _line_end(text, end)
    begins_line = not text[first:start].strip()
    ends_line = not text[end:last].strip()
    if begins_line and ends_line:
        return Splice(*_with_blank_lines(text, first, last))
    if begins_line:
        return Splice(start, end + _width_of_space(text[end:last]))
    return Splice(start - _width_of_space(text[first:start][::-1]), end)


def _with_blank_lines(text: bytes, first: int, last: int) -> tuple[int, int]:
    before, after = text[:first].rstrip(), text[last:].lstrip()
    blank_before = text.count(b"\n", len(before), first) > 1
    if blank_before or before.endswith(b"{"):
        last = _line_start(text, len(text) - len(after))
    if after.startswith(b"}"):
        first = _line_end(text, len(before))
    return first, last


def _line_number(text: bytes, offset: int) -> int:
    return text.count(b"\n", 0, offset) + 1


def _line_start(text: bytes, offset: int) -> int:
    return text.rfind(b"\n", 0, offset) + 1


def _line_end(text: bytes, offset: int) -> int:
    """Return the offset after the line's newline."""
    newline = text.find(b"\n", offset)
    return len(text) if newline < 0 else newline + 1


def _width_of_space(text: bytes) -> int:
    return len(text) - len(text.lstrip(b" \t"))
