"""What a check is of: a part of the kernel in one guest, beside the model that it is held to."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.report import GuestReport


class Trace(Protocol):
    """What is set up in a guest, and what is then done to it; ``--replay`` reads its text."""

    @property
    def operations(self) -> tuple[Any, ...]:
        """What is done, in order."""

    def __len__(self) -> int:
        """How many operations it has."""

    def head(self, length: int) -> Self:
        """Its first operations."""

    def without(self, dropped: frozenset[int]) -> Self:
        """Less the operations at those places, counted from 0, and what makes no sense then."""


@dataclass(frozen=True, slots=True)
class Differs:
    """The first operation of a trace that does not do what the model says.

    Args:
        place: of the operation in the trace, from 0.
        operation: which.
        lines: how it differs.
        seen: what the guest did, from the first operation to that one.
    """

    place: int
    operation: str
    lines: tuple[str, ...]
    seen: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at beside traces.

    Args:
        notes: what was seen, for people.
        measured: the same as numbers, by name.
        why: how it differs from the model, in words; empty where it does not.
        alike: see ``CheckResult``.
    """

    notes: tuple[str, ...] = ()
    measured: dict[str, float | bool] = field(default_factory=dict)
    why: str = ""
    alike: str = ""


@dataclass(frozen=True, slots=True)
class ModelStep:
    """What an operation of a trace came to in the model.

    Args:
        number: counts from 1.
        operation: as the trace has it.
        result: one line.
        why: the kernel's decisions on the way.
        values: what was seen, by name.
    """

    number: int
    operation: str
    result: str
    why: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A trace that is run in the model alone.

    Args:
        variant: of the code, by its name.
        proof: the release on which real kernels were seen to do what it says, or ``unproven``.
        steps: each is run when it is asked for.
    """

    variant: str
    proof: str
    steps: Iterator[ModelStep]


T = TypeVar("T", bound=Trace)


class Subject(Protocol[T]):
    """A part of the kernel in one guest.

    All raise ``ChannelEnded`` and ``Nonsense`` as ``Channel`` does.
    """

    @property
    def setups(self) -> int:
        """How often something was set up: zones made."""

    def random_trace(self, rng: random.Random) -> T:
        """Set something up, and what to do to it; the same by the same chance."""

    def given_trace(self, trace: T) -> T:
        """Set up what a trace says; the trace as it is for this guest.

        Raises:
            UsageError: the guest or the model cannot run it.
        """

    def run(self, trace: T) -> Differs | None:
        """Run it on what was just set up; where the guest differs, if it does.

        The model answers first: nothing that the guest says goes into it.
        """

    def run_again(self, trace: T) -> Differs | None:
        """The same on a fresh one like it; what the model does not take differs in nothing."""

    def discard(self) -> None:
        """Give back what was set up: it has done nothing wrong."""

    def alike(self, trace: T, found: Differs, seed: int) -> str:
        """What else the guest behaves like, of all that the model knows, in words; or nothing."""

    def beside(self) -> Finding:
        """What is to be looked at beside traces."""


@dataclass(frozen=True, slots=True)
class Specification:
    """What a part of the kernel is held to.

    Args:
        subsystem: the part's name.
        name: of the model's form.
        title: the same in a sentence: ``13.2's specification``.
        proof: the release on which real kernels were seen to do what it says, or ``unproven``.
        values: the facts of code that has that form.
        subject: holds a guest to it: of a channel to its module, its report, the number of its
            domains, and who is told of each operation that did what the model says.
        asked: what chose it: ``--spec``.
        why: where it comes from, in words.
        changed: the functions of the kernel that are not as in the text it comes from.
        diff: of those functions, unified.
    """

    subsystem: str
    name: str
    title: str
    proof: str
    values: Mapping[str, bool]
    subject: Callable[[Channel, GuestReport, int, Callable[[], None]], Subject[Any]]
    asked: str = ""
    why: str = ""
    changed: tuple[str, ...] = ()
    diff: str = ""
