"""The failure that ended a command, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import click

from harness.errors import BuildError, HarnessError, UsageError

Kind = Literal["usage", "build", "host", "bug", "interrupted"]
"""The cause: the user, the revision, the host, a bug in the harness, or a signal."""


class ErrorDetails(TypedDict):
    """The key ``error`` of the document that a failed command prints with ``--json``."""

    code: int
    kind: Kind
    message: str
    remedy: str
    detail: str


class ErrorDocument(TypedDict):
    """The document that a failed command prints with ``--json``."""

    error: ErrorDetails


#: Maximum length of a line; an error may quote an arbitrarily long line of a file.
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a command.

    Args:
        code: the exit code.
        kind: the cause.
        message: what failed, with which input, and why.
        remedy: what the user can do; may be empty.
        detail: more lines; may be empty.
    """

    code: int
    kind: Kind
    message: str
    remedy: str = ""
    detail: str = ""

    @classmethod
    def of(cls, error: HarnessError) -> Failure:
        """Return the failure of an error, classified by its class."""
        return cls(error.exit_code, _kind(error), error.message, error.remedy, error.detail)

    @classmethod
    def of_command_line(cls, error: click.ClickException) -> Failure:
        """Return the failure of wrong arguments, in the form of all others."""
        context = getattr(error, "ctx", None)
        remedy = f"see {context.command_path} --help" if context else "see harness --help"
        message = error.format_message().removesuffix(".")
        message = f"{message[:1].lower()}{message[1:]}"
        return cls(UsageError.exit_code, "usage", message, remedy)

    def text(self, width: int | None) -> str:
        """Return the text for standard error, escaped and with lines of limited length.

        Args:
            width: columns of the terminal, at which lines are wrapped, except for remedies without
                a comma, as a command that is to be copied has none; None if there is no terminal.
        """
        from harness.printable import printable

        first, *more = self.message.splitlines() or [""]
        message = [f"harness: {first}", *(f"  {line}" for line in more)]
        rest = [f"  {line}" for line in self.remedy.splitlines()]
        rest += [f"  | {line}" for line in self.detail.splitlines()]
        lines = [(line, width) for line in message]
        lines += [(line, width if ", " in line else None) for line in rest]
        return "".join(
            f"{part}\n"
            for line, room in lines
            for part in _wrapped(_shortened(printable(line)), room)
        )

    def document(self) -> ErrorDocument:
        """Return the failure as a JSON document."""
        return {
            "error": {
                "code": self.code,
                "kind": self.kind,
                "message": self.message,
                "remedy": self.remedy,
                "detail": self.detail,
            }
        }


def _wrapped(line: str, width: int | None) -> list[str]:
    if width is None or len(line) <= width:
        return [line]
    import textwrap

    return textwrap.wrap(line, width, subsequent_indent="    ", drop_whitespace=True,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _shortened(line: str) -> str:
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"


def _kind(error: HarnessError) -> Kind:
    if isinstance(error, UsageError):
        return "usage"
    return "build" if isinstance(error, BuildError) else "host"


def interrupted(signum: int) -> Failure:
    """Return the failure of a command that a signal ended, with a shell's exit code."""
    return Failure(128 + signum, "interrupted", "interrupted")
