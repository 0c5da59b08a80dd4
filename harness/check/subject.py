"""The subject of a check: a part of the kernel in a guest, compared with its model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.report import GuestReport


class Trace(Protocol):
    """A setup and a sequence of operations; ``--replay`` reads its text."""

    @property
    def operations(self) -> tuple[Any, ...]:
        """The operations, in order."""

    def __len__(self) -> int:
        """Return the number of operations."""

    def head(self, length: int) -> Self:
        """Return the trace with its first ``length`` operations."""

    def without(self, dropped: frozenset[int]) -> Self:
        """Return the trace without some operations, by index, and those that depend on them."""


@runtime_checkable
class ConcurrentTrace(Protocol):
    """A trace that may have threads, whose operations run at the same time."""

    @property
    def is_concurrent(self) -> bool:
        """Whether it has threads."""


class Machine(Protocol):
    """The domains and CPUs of a machine."""

    @property
    def cpus(self) -> tuple[int, ...]:
        """The domain of each CPU."""

    @property
    def domains(self) -> int:
        """The number of domains."""

    @property
    def empty(self) -> frozenset[int]:
        """The domains without memory."""


@runtime_checkable
class PlacedTrace(Protocol):
    """A trace that is for a machine."""

    @property
    def machine(self) -> Machine:
        """The machine."""


@dataclass(frozen=True, slots=True)
class Differs:
    """The first operation of a trace that differs from the model, or breaks an invariant.

    Args:
        place: index of the operation in the trace, from 0.
        operation: the operation's line.
        lines: the differences.
        seen: the guest's results, from the first operation to this one.
    """

    place: int
    operation: str
    lines: tuple[str, ...]
    seen: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of checks other than traces.

    Args:
        notes: observations, as lines of text.
        measured: measurements, by name.
        why: the difference from the model, or the broken invariant; empty if there is none.
        alike: the variant of the model that agrees with the guest; empty if there is none.
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
    """A part of the kernel in a guest.

    All methods raise ``ChannelEnded`` and ``Nonsense``, like those of ``Channel``.
    """

    @property
    def setups(self) -> int:
        """The number of setups, such as created zones."""

    def random_trace(self, rng: random.Random) -> T:
        """Set up a random trace in the guest, and return it; it depends on ``rng`` only."""

    def given_trace(self, trace: T) -> T:
        """Set up a trace in the guest, and return it, adapted to the guest.

        Raises:
            UsageError: the guest or the model cannot run it.
        """

    def run(self, trace: T) -> Differs | None:
        """Run the trace that was set up last; return the first difference, or None.

        The model runs first, and uses no results of the guest.
        """

    def run_again(self, trace: T) -> Differs | None:
        """Set up and run a trace; return the first difference, or None.

        None is also returned for a trace that the model does not accept.
        """

    def discard(self) -> None:
        """Discard the last setup, which did not differ."""

    def alike(self, trace: T, found: Differs, seed: int) -> str:
        """Return the variant of the model that agrees with the guest; empty if there is none."""

    def beside(self) -> Finding:
        """Run the checks other than traces."""


class HuntedSubject(Subject[T], Protocol[T]):
    """A part of the kernel that has no model: it is held to invariants, which it looks at itself.

    To run a trace is to discard its setup at the end, too: that is looked at as well.

    Attributes:
        left_out: names of invariants that random traces do not look at.
        interleaving: runs threads by schedules; see ``harness.onhost.interleaving``.
        exact: the last trace with threads, with the schedule that it was run by; None for none.
    """

    left_out: tuple[str, ...]
    interleaving: Any
    exact: T | None

    def run_closely(self, trace: T) -> Differs | None:
        """Run the trace that was set up last, and look at all invariants after each operation."""

    def run_again(self, trace: T, *, closely: bool = True) -> Differs | None:
        """Set up and run a trace, ``closely`` or not."""

    def simpler(self, trace: T) -> Iterator[T]:
        """Generate traces that say less in as many operations, for a search for a plain one."""

    def shape(self, trace: T) -> frozenset[str]:
        """Return what a shortest trace has, without its numbers: one cause, mostly one shape."""


@dataclass(frozen=True, slots=True)
class KnownCase:
    """A named case that a finding may be of.

    Args:
        name: of the case.
        has_fix: whether a fix of it is known, with which no trace shows it.
    """

    name: str
    has_fix: bool = False


def _nothing_known(title: str, trace: str) -> Sequence[KnownCase]:
    return ()


@dataclass(frozen=True, slots=True)
class Specification:
    """The specification of a subsystem.

    Args:
        subsystem: the subsystem's name.
        name: the variant of the model.
        title: the name for reports: ``13.2's specification``.
        proof: the release whose kernels agree with it, or ``unproven``.
        values: the facts of code with this form.
        subject: holds a guest to it: of a channel to its module, its report, the number of its
            domains, and who is told of each operation that did what the model says.
        asked: the argument of ``--spec``.
        why: its origin.
        changed: the functions of the kernel that differ from the specification's code.
        diff: the unified diff of these functions.
        hunted: the subject of a part without a model; None where there is one.
        known: gives the named cases that a finding may be of, by its title and its shortest trace;
            none for a new one.
        harmless: invariants that a search can leave out once they were found broken.
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
    hunted: Callable[[Channel, GuestReport, int, Callable[[], None]], HuntedSubject[Any]] | None = (
        None
    )
    known: Callable[[str, str], Sequence[KnownCase]] = _nothing_known
    harmless: frozenset[str] = frozenset()

    @property
    def is_modelled(self) -> bool:
        """Whether there is a model; else the subsystem is held to invariants."""
        return self.hunted is None
