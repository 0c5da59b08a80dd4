"""Traces: operations on a zone, as readable text.

::

    # two domains, the reserve in one of them
    variant 13-after
    zone domains=2 ipers=42 reserve=2
    prealloc 2
    alloc cpu=0 M_NOWAIT|M_NOVM|M_USE_RESERVE
    alloc cpu=1 M_NOWAIT meanwhile=3
    free 2

Operations count from 1; ``free 2`` gives back what operation 2 got. ``meanwhile=3`` has another
CPU give back what operation 3 got, at the first call of the slab allocator if there is one:
nobody holds the keg's lock then. ``zone`` takes the names of ``Shape`` (``shape.py``):
``domains``, ``ipers``, ``reserve``, ``slabs``, ``place``, ``patience`` with numbers, ``empty``
with domains (``empty=1,3``), and the words ``hashed``, ``round-robin`` and ``stock``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from harness.errors import UsageError
from harness.subsystems.domainset.model.sets import mask_of
from harness.subsystems.uma.model.flags import UMA_ANYDOMAIN, KernelAssertion, parse_flags
from harness.subsystems.uma.model.player import DomainSource, Operation, Player, Step, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.variants import Variant, find_variant


@dataclass(frozen=True, slots=True)
class Trace:
    """A zone and operations on it."""

    variant: Variant
    shape: Shape
    operations: tuple[Operation, ...]

    def __str__(self) -> str:
        lines = [f"variant {self.variant.name}", f"zone {_shape_in_words(self.shape)}"]
        return "\n".join([*lines, *map(str, self.operations)]) + "\n"

    def __len__(self) -> int:
        return len(self.operations)

    def head(self, length: int) -> Trace:
        """Return the trace with its first operations."""
        return replace(self, operations=self.operations[:length])

    def without(self, dropped: frozenset[int]) -> Trace:
        """Return the trace without the operations at ``dropped`` and the frees of their items.

        The N of ``free N`` and ``meanwhile=N`` counts from 1 and is renumbered.
        """
        kept: list[Operation] = []
        numbers: dict[int, int] = {}
        for place, operation in enumerate(self.operations):
            if place in dropped:
                continue
            if operation.verb is Verb.FREE:
                if operation.number not in numbers:
                    continue
                kept.append(operation._replace(number=numbers[operation.number]))
            else:
                kept.append(operation._replace(meanwhile=numbers.get(operation.meanwhile, 0)))
                numbers[place + 1] = len(kept)
        return replace(self, operations=tuple(kept))


def run_trace(trace: Trace) -> Iterator[Step]:
    """Generate the steps of a trace; raises as ``Player.play``."""
    player = Player(trace.variant, trace.shape)
    for operation in trace.operations:
        yield player.play(operation)


# --- text -------------------------------------------------------------------------------------

#: ``DOMAINSET_MAXSIZE`` (sys/sys/_domainset.h).
_MOST_DOMAINS = 256

#: Maximum number of items of a slab, and of all preallocations of a trace together.
_MOST_ITEMS = 65536

#: Maximum number of operations; a check writes traces of a few hundred.
_MOST_OPERATIONS = 100_000

_COUNTS = ("domains", "ipers", "reserve", "slabs", "place", "patience")
_ALLOC = re.compile(
    r"(?:(cpu|domain)=(\d{1,3})|domain=(any)) (\S+)(?: meanwhile=(\d{1,9}))?", re.ASCII
)


def parse_trace(text: str, variant: Variant | None = None) -> Trace:
    """Read a trace.

    Args:
        text: the text.
        variant: replaces the variant that the text names.

    Raises:
        UsageError: a line does not have the form above.
    """
    shape: Shape | None = None
    operations: list[Operation] = []
    items = 0
    for number, line in enumerate(text.splitlines(), start=1):
        word, _, rest = line.partition("#")[0].strip().partition(" ")
        try:
            if word == "variant":
                variant = variant or find_variant(rest.strip())
            elif word == "zone":
                shape = _the_one(shape, _parse_shape(rest.split()))
            elif word:
                operations.append(_parse_operation(word, " ".join(rest.split())))
                items += operations[-1].number if word == Verb.PREALLOC else 0
                _check_demands(len(operations), items)
        except KernelAssertion:
            raise
        except UsageError as error:
            raise UsageError(f"line {number}: {error.message}", remedy=error.remedy) from error
    if variant is None or shape is None:
        missing = "variant" if variant is None else "zone"
        raise UsageError(
            f"the trace has no line that says {missing}",
            remedy="begin it with 'variant 13-after' and 'zone domains=2 ipers=42 reserve=2'",
        )
    return Trace(variant, shape, tuple(operations))


def _parse_operation(word: str, rest: str) -> Operation:
    if word not in set(Verb):
        raise UsageError(f"there is no operation {word!r}", remedy=f"known: {', '.join(Verb)}")
    verb = Verb(word)
    if verb is not Verb.ALLOC:
        return Operation(verb, _number(rest))
    match = _ALLOC.fullmatch(rest)
    if match is None:
        raise UsageError(
            f"{rest!r} does not say what to allocate",
            remedy="write it as: alloc cpu=0 M_NOWAIT|M_NOVM, or alloc domain=1 M_WAITOK",
        )
    place = DomainSource(match[1] or DomainSource.DOMAIN)
    domain, flags = int(match[2] or UMA_ANYDOMAIN), parse_flags(match[4])
    return Operation(verb, domain, flags, place, int(match[5] or 0))


def _parse_shape(words: list[str]) -> Shape:
    shape = Shape(domains=1, ipers=1)
    names = [word.partition("=")[0] for word in words]
    for word in words:
        name, _, value = word.partition("=")
        if names.count(name) > 1:
            raise UsageError(f"{name} is there more than once", remedy="leave one of them out")
        if name in _COUNTS:
            counts: Mapping[str, Any] = {name: _number(value)}
            shape = shape._replace(**counts)
        elif name == "empty":
            shape = shape._replace(empty=mask_of(map(_domain, value.split(","))))
        elif word == "hashed":
            shape = shape._replace(hashed=True)
        elif word == "round-robin":
            shape = shape._replace(first_touch=False)
        elif word == "stock":
            shape = shape._replace(stock=True)
        else:
            _refuse_shape(word)
    _check_limits(shape)
    return shape


def _the_one(before: Shape | None, shape: Shape) -> Shape:
    if before is not None:
        raise UsageError("a trace has one zone", remedy="leave the second one out")
    return shape


def _check_demands(operations: int, items: int) -> None:
    """Refuse traces that would exhaust the host's memory, or run for ever."""
    if operations > _MOST_OPERATIONS:
        raise UsageError(
            f"the trace has more than {_MOST_OPERATIONS} operations", remedy="shorten it"
        )
    if items > _MOST_ITEMS:
        raise UsageError(
            f"{items} preallocated items are too many",
            remedy=f"preallocate at most {_MOST_ITEMS} in a trace",
        )


def _check_limits(shape: Shape) -> None:
    """Refuse zones that no kernel has, or that would take too much memory."""
    if shape.domains > _MOST_DOMAINS or shape.ipers > _MOST_ITEMS:
        raise UsageError(
            f"{shape.domains} domains or {shape.ipers} items a slab are too many",
            remedy=f"give at most {_MOST_DOMAINS} domains and {_MOST_ITEMS} items a slab",
        )
    if shape.empty >> shape.domains:
        raise UsageError(
            f"a domain is empty that is not one of the {shape.domains}",
            remedy="name domains from 0 on, or give more of them",
        )


def _domain(text: str) -> int:
    number = _number(text)
    if number >= _MOST_DOMAINS:
        raise UsageError(
            f"there is no domain {number}", remedy=f"name one from 0 to {_MOST_DOMAINS - 1}"
        )
    return number


def _refuse_shape(word: str) -> NoReturn:
    raise UsageError(
        f"a zone has no {word!r}",
        remedy=f"known: {', '.join(_COUNTS)}, empty, hashed, round-robin, stock",
    )


def _number(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise UsageError(f"{text!r} is no number", remedy="write a decimal number")
    return int(text)


def _shape_in_words(shape: Shape) -> str:
    words = [f"domains={shape.domains} ipers={shape.ipers} reserve={shape.reserve}"]
    if shape.slabs is not None:
        words.append(f"slabs={shape.slabs}")
    if shape.place:
        words.append(f"place={shape.place}")
    if shape.patience is not None:
        words.append(f"patience={shape.patience}")
    if shape.empty:
        empty = (str(domain) for domain in range(shape.domains) if shape.empty >> domain & 1)
        words.append(f"empty={','.join(empty)}")
    flags = {"hashed": shape.hashed, "round-robin": not shape.first_touch, "stock": shape.stock}
    return " ".join([*words, *(word for word, given in flags.items() if given)])
