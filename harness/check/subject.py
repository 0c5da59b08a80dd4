"""What a check is of: a part of the kernel in one guest, beside the model that it is held to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.report import GuestReport


class Trace(Protocol):
    """What is set up in a guest, and what is then done to it; ``--replay`` reads its text."""

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


class Specification(Protocol):
    """What a part of the kernel is held to."""

    @property
    def subsystem(self) -> str:
        """The part's name."""

    @property
    def name(self) -> str:
        """Of the model's variant."""

    @property
    def title(self) -> str:
        """The same in a sentence: ``13.2's specification``."""

    @property
    def proof(self) -> str:
        """The release on which real kernels were seen to do what it says, or ``unproven``."""

    @property
    def asked(self) -> str:
        """What chose it: ``--spec``."""

    @property
    def why(self) -> str:
        """Where it comes from, in words."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The functions of the kernel that are not as in the text it comes from."""

    @property
    def diff(self) -> str:
        """Of those functions, unified."""

    def subject(
        self, channel: Channel, report: GuestReport, domains: int, done: Callable[[], None]
    ) -> Subject[Any]:
        """A guest with a check module, held to it.

        Args:
            channel: to the module, open.
            report: what the guest said of its CPUs and memory.
            domains: how many it has.
            done: told of each operation that did what the model says.
        """
