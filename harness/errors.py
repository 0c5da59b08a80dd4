"""The errors, by who is to blame; the exit code follows from the class.

A kernel that panics is no error: that is a verdict (see ``harness.verdict``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class HarnessError(Exception):
    """Something that ends the command: what was wrong, why, and what to do about it.

    Args:
        message: one sentence that names the input and the cause.
        remedy: what the user can do, as a sentence or a command; may be empty.
        detail: further lines (a compiler's own errors, a function's text), shown below.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.detail = detail

    def __str__(self) -> str:
        parts = [self.message, self.remedy, self.detail]
        return "\n".join(part for part in parts if part)


class UsageError(HarnessError):
    """The arguments, a file, a revision or a tree given by the user are at fault."""

    exit_code = 2


@contextmanager
def given_with(option: str) -> Iterator[None]:
    """Put the option by which the user gave what is refused before the message.

    Raises:
        UsageError: what the body raises, as ``--rev: there is no revision …``.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(
            f"{option}: {error.message}", remedy=error.remedy, detail=error.detail
        ) from error


class InfraError(HarnessError):
    """The host is at fault: QEMU, libvirt, disk, memory, network, a missing program."""

    exit_code = 3


class UnobservableError(InfraError):
    """The check module does not build against the kernel, so nothing can be said of it."""


class BuildError(HarnessError):
    """The revision is at fault: it does not build."""

    exit_code = 4
