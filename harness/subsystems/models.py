"""What a subsystem's model shows without a guest: predictions of boots, and searches of states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harness.guest.topology import Topology


@dataclass(frozen=True, slots=True)
class BootPrediction:
    """What a boot comes to on one topology.

    Args:
        outcome: an outcome, or several in words.
        title: of the failure; empty for none.
        why: in words.
        values: what else the model says of it, by name, for JSON documents.
    """

    outcome: str
    title: str
    why: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BootModel:
    """Predicts the boots of one kernel.

    Args:
        form: of the code, by its name.
        proof: the release on which real kernels were seen to do what it says, or ``unproven``.
        description: what the code does, one clause each.
        predict: the prediction for a topology.
    """

    form: str
    proof: str
    description: tuple[str, ...]
    predict: Callable[[Topology], BootPrediction]


@dataclass(frozen=True, slots=True)
class SearchBound:
    """A bound of a search of states, which the command line has an option for.

    Args:
        name: of the option, in lower case.
        most: the greatest value; the least is 1.
        default: the value that is used if none is given.
        help: what it bounds, as a phrase.
    """

    name: str
    most: int
    default: int
    help: str


@dataclass(frozen=True, slots=True)
class BrokenProperty:
    """What does not hold in all states.

    Args:
        name: of the property, in lower case.
        words: the property, in words.
        trace: the shortest trace that shows it.
    """

    name: str
    words: str
    trace: str


@dataclass(frozen=True, slots=True)
class SearchedStates:
    """All states that were found from one start.

    Args:
        form: of the code, by its name.
        proof: see ``BootModel``.
        start: what the states are of, in words.
        states: different ones, counting those alike once.
        operations: that were run.
        broken: what does not hold.
        values: what else is said of the start, by name, for JSON documents.
    """

    form: str
    proof: str
    start: str
    states: int
    operations: int
    broken: tuple[BrokenProperty, ...]
    values: Mapping[str, Any] = field(default_factory=dict)


class StateSearch(Protocol):
    """Searches all states of a small setup that a few operations lead to."""

    @property
    def bounds(self) -> Sequence[SearchBound]:
        """How far it can be told to go."""

    def run(self, form: str | None, bounds: Mapping[str, int]) -> Iterator[SearchedStates]:
        """Generate what is found from each start.

        Args:
            form: of the code; None: each that has a name.
            bounds: a value for each, by name.

        Raises:
            UsageError: there is no such form.
        """
