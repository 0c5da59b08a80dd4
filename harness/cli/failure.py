"""What ended a command, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import click

from harness.errors import BuildError, HarnessError, UsageError

Kind = Literal["usage", "build", "host", "bug", "interrupted"]
"""Whose fault it is: the user's, the revision's, the host's, the harness's, or nobody's."""


class ErrorDetails(TypedDict):
    """``error`` of the document that a command with ``--json`` prints when it fails."""

    code: int
    kind: Kind
    message: str
    remedy: str
    detail: str


class ErrorDocument(TypedDict):
    """What a command with ``--json`` prints instead of its own document."""

    error: ErrorDetails


#: Characters of a line of an error. What it names may be a line of a file that has no others.
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command has no result.

    Args:
        code: its exit code.
        kind: whose fault it is.
        message: what was wrong, with the value and the cause.
        remedy: what the user can do; may be empty.
        detail: further lines; may be empty.
    """

    code: int
    kind: Kind
    message: str
    remedy: str = ""
    detail: str = ""

    @classmethod
    def of(cls, error: HarnessError) -> Failure:
        """By the class of the error."""
        return cls(error.exit_code, _kind(error), error.message, error.remedy, error.detail)

    @classmethod
    def of_command_line(cls, error: click.ClickException) -> Failure:
        """Arguments that the command does not take."""
        context = getattr(error, "ctx", None)
        remedy = f"see {context.command_path} --help" if context else "see harness --help"
        return cls(UsageError.exit_code, "usage", error.format_message(), remedy)

    @property
    def text(self) -> str:
        """For standard error: what is quoted of the input commands no terminal, nor floods it."""
        from harness.printable import printable

        first, *more = self.message.splitlines() or [""]
        lines = [f"harness: {first}", *(f"  {line}" for line in more)]
        lines += [f"  {line}" for line in self.remedy.splitlines()]
        lines += [f"  | {line}" for line in self.detail.splitlines()]
        return "".join(f"{_shortened(printable(line))}\n" for line in lines)

    def document(self) -> ErrorDocument:
        """For ``--json``."""
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
    """A signal ended it; the exit code is a shell's."""
    return Failure(128 + signum, "interrupted", "interrupted")
