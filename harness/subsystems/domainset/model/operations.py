"""Operations on an iterator, and their text, one per line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.arch import GUEST
from harness.check.tracewords import number, read_line
from harness.subsystems.domainset.model.machine import Wait
from harness.subsystems.domainset.model.sets import (
    ITER_LIMIT,
    Domainset,
    Policy,
    mask_in_words,
    parse_mask,
)


class Call(StrEnum):
    """The functions that initialise and step an iterator."""

    POLICY = "policy"
    """``policy_init``: a set, and the thread's place"""
    REF = "policy-ref"
    """``policy_ref_init``"""
    PAGE = "page"
    """``page_init`` without an object: the thread's policy and place"""
    OBJECT = "page-object"
    """``page_init`` of an object with a policy"""
    THREAD = "page-thread"
    """``page_init`` of an object without one: the thread's policy and place"""

    @property
    def pages(self) -> bool:
        """Whether ``vm_domainset_iter_page`` steps it."""
        return self in (Call.PAGE, Call.OBJECT, Call.THREAD)


@dataclass(frozen=True, slots=True)
class Start:
    """Initialise an iterator.

    Args:
        call: the function.
        key: the set.
        iterator: ``dr_iter`` before the call.
        wait: the flags.
        cpu_domain: domain of the CPU that runs the call.
        pindex: index of the page; 0 without an object.
        color: ``pg_color`` of the object; None without an object or without reservations.
    """

    call: Call
    key: Domainset
    iterator: int
    wait: Wait
    cpu_domain: int = 0
    pindex: int = 0
    color: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Step the iterator.

    Args:
        cpu_domain: domain of the CPU that runs the call.
        wake: mask of the domains that are short after a sleeping call is woken.
    """

    cpu_domain: int = 0
    wake: int = 0


@dataclass(frozen=True, slots=True)
class Short:
    """Make exactly these domains short of memory."""

    mask: int


@dataclass(frozen=True, slots=True)
class Ignore:
    """``vm_domainset_iter_ignore`` a domain."""

    domain: int


Operation = Start | Step | Short | Ignore
Operations = tuple[Operation, ...]


_MOST_DOMAINS: Final = GUEST.max_domains
_MOST_PAGES: Final = 1 << 32
_MOST_COLOR: Final = 1 << 16


def operation_text(operation: Operation) -> str:
    """Return the line of an operation."""
    match operation:
        case Start():
            return _start_text(operation)
        case Step(cpu, wake):
            return f"step cpu={cpu} wake={mask_in_words(wake)}"
        case Short(mask):
            return f"short domains={mask_in_words(mask)}"
        case Ignore(domain):
            return f"ignore domain={domain}"


def _start_text(start: Start) -> str:
    key = start.key
    words = [
        f"start call={start.call} policy={key.policy} domains={mask_in_words(key.mask)}",
        f"prefer={key.prefer}" if key.policy is Policy.PREFER else "",
        f"iter={start.iterator} wait={(start.wait.name or '').lower()} cpu={start.cpu_domain}",
        f"pindex={start.pindex}" if start.pindex else "",
        f"color={start.color}" if start.color is not None else "",
    ]
    return " ".join(filter(None, words))


def parse_operation(text: str) -> Operation:
    """Return the operation of a line.

    Raises:
        UsageError: the line is not an operation.
    """
    return read_line(text, _READERS)


def _start_of(words: Mapping[str, str]) -> Start:
    policy = Policy(words["policy"])
    prefer = number(words, "prefer", _MOST_DOMAINS) if policy is Policy.PREFER else -1
    return Start(
        Call(words["call"]),
        Domainset(policy, parse_mask(words["domains"]), prefer),
        number(words, "iter", ITER_LIMIT),
        Wait[words["wait"].upper()],
        number(words, "cpu", _MOST_DOMAINS),
        number(words, "pindex", _MOST_PAGES) if "pindex" in words else 0,
        number(words, "color", _MOST_COLOR) if "color" in words else None,
    )


_READERS: Final[Mapping[str, Callable[[Mapping[str, str]], Operation]]] = {
    "start": _start_of,
    "step": lambda words: Step(number(words, "cpu", _MOST_DOMAINS), parse_mask(words["wake"])),
    "short": lambda words: Short(parse_mask(words["domains"])),
    "ignore": lambda words: Ignore(number(words, "domain", _MOST_DOMAINS)),
}
