"""The guests that a test is run on: its markers, and the options' defaults. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness.errors import UsageError, did_you_mean, given_with
from harness.guest.topology import parse_node_counts
from harness.plugin.options import SANITIZER_FLAGS
from harness.sanitizers import NONE, parse_sanitizers

SIDES: Final = ("before", "after")

_WORDS: Final = ("source", "rev", "kernel", "kernconf", "patch", "mutant")
_NUMBERS: Final = ("memory", "cpus")
_FLAGS: Final = ("before_after", "fresh")
_LISTS: Final = ("numa", "vm", "sanitizer")

ARGUMENTS: Final = (*_LISTS, *_WORDS, *_NUMBERS, *_FLAGS, "tunables")
"""The arguments of the marker."""

_PAIR: Final = ("commit", "before", "after", "patch", "mutant")


@dataclass(frozen=True, slots=True)
class GuestVariant:
    """One guest that a test is run on.

    Args:
        side: ``before`` or ``after``; empty without a pair.
        nodes: number of NUMA nodes; None: those of the vm file.
        vm: name or file of the vm file; empty without one.
        sanitizers: the kernel's, such as ``kasan`` or ``none``; None: those of the vm file.
        fresh: whether the guest is booted for each test anew.
        settings: all others: the marker's arguments and the options, by name.
        tunables: kernel environment.
    """

    side: str
    nodes: int | None
    vm: str
    sanitizers: str | None
    fresh: bool = False
    settings: tuple[tuple[str, str | int], ...] = ()
    tunables: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)

    @property
    def id(self) -> str:
        """The part of test names that tells which guest it is."""
        place = self.vm or f"numa{self.nodes}"
        return "-".join(filter(None, (self.side, self.sanitizers, place)))

    def setting(self, name: str) -> Any:
        """Return a setting; None if it was not given."""
        return dict(self.settings).get(name)


def variants_of(
    markers: Iterable[tuple[Sequence[Any], Mapping[str, Any]]], options: Mapping[str, Any]
) -> list[GuestVariant]:
    """Return the guests of a test, with those of the same kernel beside each other.

    Args:
        markers: arguments of its markers ``guest``, the closest first, which override others.
        options: see ``option_values``.

    Raises:
        UsageError: an argument is unknown or invalid.
    """
    given = _merged(markers)
    sides = SIDES if given.get("before_after") else ("",)
    places = _places(given, options)
    defaults = {k: v for k, v in options.items() if k in (*_WORDS, *_NUMBERS, *_PAIR)}
    settings = {**defaults, **{k: v for k, v in given.items() if k in (*_WORDS, *_NUMBERS)}}
    for name in _NUMBERS:
        if name in settings:
            settings[name] = _number(name, settings[name])
    others = ("backend", "boot", "accelerator")
    settings |= {name: options[name] for name in others if name in options}
    return [
        GuestVariant(
            side, nodes, vm, sanitizers, bool(given.get("fresh")),
            tuple(sorted(settings.items())),
            tunables=tuple(sorted(given.get("tunables", {}).items())),
        )
        for sanitizers, side, (nodes, vm) in itertools.product(
            _sanitizers(given, options, vm=any(vm for _, vm in places)), sides, places
        )
    ]  # fmt: skip


def _merged(markers: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the arguments of all markers.

    Raises:
        UsageError: one is unknown, or of another type.
    """
    given: dict[str, Any] = {}
    for words, named in markers:
        if words:
            raise UsageError(
                f"the marker has the argument {words[0]!r} without a name",
                remedy=f"name it, such as guest(numa={words[0]!r})",
            )
        for name, value in named.items():
            if name not in ARGUMENTS:
                raise UsageError(
                    f"the marker has no argument {name!r}",
                    remedy=f"{did_you_mean(name, ARGUMENTS)}it has {', '.join(ARGUMENTS)}",
                )
            _check(name, value)
            given.setdefault(name, value)
    if "numa" in given and "vm" in given:
        raise UsageError("numa and vm both give the guest's layout", remedy="name one of them")
    return given


def _check(name: str, value: Any) -> None:
    if name in _FLAGS:
        good, wanted = isinstance(value, bool), "True or False"
    elif name in _NUMBERS:
        good, wanted = isinstance(value, int) and value > 0, "a positive number"
    elif name in _WORDS:
        good, wanted = isinstance(value, str) and bool(value), "a text"
    elif name == "tunables":
        good = isinstance(value, Mapping) and all(
            isinstance(word, str) for pair in value.items() for word in pair
        )
        wanted = "a dictionary of texts"
    else:
        kinds = {"numa": (int, str), "vm": (str,)}.get(name, (str, type(None)))
        values = _each(value)
        good = bool(values) and all(isinstance(one, kinds) for one in values)
        wanted = "a number, a text, or a list of them" if name == "numa" else "a text or a list"
    if not good:
        raise UsageError(f"{name}={value!r}", remedy=f"{name} takes {wanted}")


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _places(given: Mapping[str, Any], options: Mapping[str, Any]) -> list[tuple[int | None, str]]:
    """Return the layouts: a number of nodes, or a vm file."""
    if "vm" in given or ("numa" not in given and "vm" in options):
        return [(None, name) for name in _each(given.get("vm", options.get("vm")))]
    numa = given.get("numa", options.get("numa", "1"))
    with given_with("numa"):
        counts = [n for each in _each(numa) for n in parse_node_counts(str(each))]
    return [(count, "") for count in dict.fromkeys(counts)]


def _sanitizers(
    given: Mapping[str, Any], options: Mapping[str, Any], *, vm: bool
) -> list[str | None]:
    if "sanitizer" in given:
        named = _each(given["sanitizer"])
    else:
        flags = [name for name in SANITIZER_FLAGS if options.get(name)]
        named = [",".join(filter(None, (options.get("sanitizer"), *flags)))]
        if vm and not named[0]:
            return [None]
    with given_with("sanitizer"):
        return [_set(name) for name in named]


def _set(name: str | None) -> str:
    """Return names of sanitizers, checked."""
    return str(parse_sanitizers(name or str(NONE)))


def _number(name: str, value: Any) -> int:
    if not str(value).isdecimal() or int(value) <= 0:
        raise UsageError(f"{name}: {value}", remedy="name a positive number")
    return int(value)
