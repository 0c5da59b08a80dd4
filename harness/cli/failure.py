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
        """Return the failure of wrong arguments."""
        context = getattr(error, "ctx", None)
        remedy = f"see {context.command_path} --help" if context else "see harness --help"
        return cls(UsageError.exit_code, "usage", error.format_message(), remedy)

    @property
    def text(self) -> str:
        """The text for standard error, escaped and with lines of limited length."""
        from harness.printable import printable

        first, *more = self.message.splitlines() or [""]
        lines = [f"harness: {first}", *(f"  {line}" for line in more)]
        lines += [f"  {line}" for line in self.remedy.splitlines()]
        lines += [f"  | {line}" for line in self.detail.splitlines()]
        return "".join(f"{_shortened(printable(line))}\n" for line in lines)

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
