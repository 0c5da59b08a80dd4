"""Errors, classified by cause; the class determines the exit code.

A kernel that panics is not an error, but a verdict (``harness.verdict``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar


class HarnessError(Exception):
    """An error that ends the command.

    Args:
        message: what failed, with which input, and why; lower case, without a full stop.
        remedy: what the user can do, a command if possible; may be empty.
        detail: more lines, such as a compiler's errors, printed below.
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
    """An argument, a file, a revision or a tree given by the user is wrong."""

    exit_code = 2


def cause_of(error: Exception) -> str:
    """Return why an operation failed: the host's words without a number and a path, if it did."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


@contextmanager
def given_with(option: str) -> Iterator[None]:
    """Prefix the message of a UsageError with the option that the user gave.

    Raises:
        UsageError: the error raised in the context, as ``--rev: there is no revision …``.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(
            f"{option}: {error.message}", remedy=error.remedy, detail=error.detail
        ) from error


def did_you_mean(word: str, known: Iterable[str], most: int = 1) -> str:
    """Return a remedy's first words, ``did you mean a or b? ``, or nothing if no name is near.

    Args:
        word: what the user gave.
        known: the names that there are.
        most: how many of them to name at most.
    """
    import difflib  # which only a wrong word needs

    near = difflib.get_close_matches(word, list(known), n=most)
    return f"did you mean {' or '.join(near)}? " if near else ""


class InfraError(HarnessError):
    """The host failed: QEMU, libvirt, disk, memory, network or a missing program."""

    exit_code = 3


class UnobservableError(InfraError):
    """The check module does not build against the kernel, so the kernel cannot be checked."""


class BuildError(HarnessError):
    """The revision does not build."""

    exit_code = 4
