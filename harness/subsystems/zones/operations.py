"""Operations on zones, in the form of the check module's commands and of traces.

In commands an operation is a letter and numbers (``c/README.md``). It is kept in this form, so that
a search can generate hundreds of thousands a second. In a trace it is a line of words::

    alloc zone1 item=7 cpu=0 M_NOWAIT|M_USE_RESERVE meanwhile free item=3 cpu=1
    thread2: free item=7 cpu=1

One of a thread that runs at the same time as others has the thread's number before it: ``2:f,7,1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: The most zones and items of a trace (``c/zones.h``).
MOST_ZONES: Final = 4
MOST_ITEMS: Final = 1024
#: Operations of another thread, in the middle of one.
MEANWHILE: Final = " meanwhile "

_FLAGS: Final = {
    "n": "M_NOWAIT", "w": "M_WAITOK", "v": "M_NOVM", "r": "M_USE_RESERVE", "z": "M_ZERO",
}  # fmt: skip
_LETTERS: Final = {name: letter for letter, name in _FLAGS.items()}
#: Behind the flags: what fails goes on failing; in words, ``fails=`` in the place of ``fail=``.
ALWAYS: Final = "e"
#: Verbs with allocation flags.
_FLAGGED: Final = frozenset({"alloc", "steady"})
_RECLAIMING: Final = frozenset({"reclaim", "reclaim-all"})
#: The order of an operation's numbers.
_FIELDS: Final = ("zone", "slot", "cpu", "domain", "number", "fail", "gap")
_TOKEN: Final = re.compile(r"((?:[1-4]:)?[a-z])([0-9,]*)([nwvrze]*)", re.ASCII)
_THREAD: Final = re.compile(r"thread([1-4]): ", re.ASCII)
RECLAIMS: Final = ("trim", "drain", "drain-cpu")


@dataclass(frozen=True, slots=True)
class Verb:
    """A kind of operation.

    Args:
        word: in traces.
        letter: in commands.
        fields: required numbers.
        maybe: optional numbers.
    """

    word: str
    letter: str
    fields: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()


VERBS: Final = (
    Verb("alloc", "a", ("zone", "item", "cpu"), ("domain", "fail")),
    Verb("free", "f", ("item", "cpu")),
    Verb("prealloc", "p", ("zone", "items", "cpu"), ("fail",)),
    Verb("reclaim", "d", ("zone",), ("domain", "cpu")),
    Verb("set-max", "m", ("zone", "items")),
    Verb("set-maxcache", "x", ("zone", "items")),
    Verb("destroy", "k", ("zone",)),
    Verb("refuse", "r", ("domain",)),
    Verb("accept", "y", ("domain",)),
    Verb("low", "l", ("domain",)),
    Verb("recover", "o", ("domain",)),
    Verb("timeout", "t", (), ("cpu", "more")),
    Verb("move", "g", ("cpu",)),
    Verb("steady", "s", ("zone", "items", "cpu"), ("domain",)),
    Verb("reclaim-all", "c", (), ("domain", "cpu")),
    Verb("exhaust", "e", ("domain",)),
    Verb("refill", "h", ("domain",)),
    Verb("run-tasks", "j"),
    Verb("read", "q", ("item", "cpu")),
    Verb("migrate", "u", ("thread", "cpu")),
    Verb("enter", "i", ("zone", "cpu")),
    Verb("leave", "v", ("cpu",)),
    Verb("wait", "z", ("zone", "cpu")),
    Verb("contend", "b", ("zone", "domain")),
)
_BY_WORD: Final[Mapping[str, Verb]] = {verb.word: verb for verb in VERBS}
_BY_LETTER: Final[Mapping[str, Verb]] = {verb.letter: verb for verb in VERBS}
#: Where the wire has another name for a field.
_WIRE: Final = {"item": "slot", "items": "number", "thread": "number", "more": "number"}
#: Of threads that run at the same time.
MOST_THREADS: Final = 4
#: Operations that no thread runs while others do: a thread moves by its CPU, pages are counted, and
#: one thread alone runs tasks.
_ALONE: Final = frozenset("gsjivb")
#: Operations of threads alone.
OF_THREADS: Final = frozenset("u")
#: Those that may be in the middle of another one.
_NESTED: Final = frozenset("afdmxrylotgcehjiv")
#: Where it then runs, counted from 1: where the first thread could be preempted, which only a host
#: program can do. Without it: where the first thread calls what the trace's zones have set.
GAP: Final = "gap"


def letter_of(word: str) -> str:
    """Return a verb's letter in commands."""
    return _BY_WORD[word].letter


def token(letter: str, numbers: Mapping[str, int | None], flags: str = "") -> str:
    """Return an operation in a command's form; see ``_FIELDS`` for the names of numbers."""
    words = ["" if (number := numbers.get(name)) is None else str(number) for name in _FIELDS]
    return letter + ",".join(words).rstrip(",") + flags


def split_thread(operation: str) -> tuple[int, str]:
    """The number of the thread that runs an operation, and what it is; 0: none runs beside it."""
    if operation[1:2] != ":":
        return 0, operation
    return int(operation[0]), operation[2:]


def with_thread(operation: str, threads: Mapping[int, int]) -> str:
    """Return the operation, of a thread or of none, where threads have other numbers."""
    thread, operation = split_thread(operation)
    if operation[0] in OF_THREADS:
        operation = _with(operation, "number", {**{each: each for each in range(10)}, **threads})
    return f"{threads[thread]}:{operation}" if thread else operation


def in_words(operation: str) -> str:
    """Return an operation's line in a trace."""
    thread, operation = split_thread(operation)
    if thread:
        return f"thread{thread}: {_words_of(operation)}"
    outer, _, inner = operation.partition(";")
    return _words_of(outer) + (MEANWHILE + _words_of(inner) if inner else "")


def _words_of(operation: str) -> str:
    found = _TOKEN.fullmatch(operation)
    if found is None:
        raise ValueError(f"not an operation: {operation}")
    verb = _BY_LETTER[found[1]]
    told = dict(zip(_FIELDS, found[2].split(","), strict=False))
    words = [verb.word]
    for name in (*verb.fields, *verb.maybe, GAP):
        value = told.get(_WIRE.get(name, name), "")
        if name == "zone":
            words.append(f"zone{int(value or 0) + 1}")
        elif value or name in verb.fields:
            fails = "s" if name == "fail" and ALWAYS in found[3] else ""
            words.append(f"{name}{fails}={value or 0}")
    if verb.word in _RECLAIMING:
        words.append(RECLAIMS[int(told.get("number") or 0)])
    flags = found[3].replace(ALWAYS, "")
    if flags:
        words.append("|".join(_FLAGS[letter] for letter in flags))
    return " ".join(words)


def parse_operation(line: str) -> str:
    """Return the operation of a line of a trace.

    Raises:
        ValueError: the line is not an operation; the message is the reason.
    """
    thread = _THREAD.match(line)
    if thread is not None:
        line = line[thread.end() :]
    outer, meanwhile, inner = line.partition(MEANWHILE)
    first = _parsed(outer.split())
    if any(numbers_of(first, GAP)):
        raise ValueError("only what is in the middle of another operation has a gap")
    if thread is not None:
        if meanwhile or first[0] in _ALONE:
            raise ValueError("a thread that runs at the same time as others cannot do that")
        return f"{thread[1]}:{first}"
    if first[0] in OF_THREADS:
        raise ValueError("there is no thread to be moved")
    if not meanwhile:
        return first
    second = _parsed(inner.split())
    if second[0] not in _NESTED or "w" in second:
        raise ValueError("an operation that sleeps cannot be in the middle of another one")
    return f"{first};{second}"


def _parsed(words: list[str]) -> str:
    if not words or words[0] not in _BY_WORD:
        raise ValueError(f"no operation, which is one of {', '.join(_BY_WORD)}")
    verb, flags, always = _BY_WORD[words[0]], "", ""
    numbers: dict[str, int | None] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if equals and name in (*verb.fields, *verb.maybe, GAP):
            numbers[_WIRE.get(name, name)] = _number(name, value)
        elif name == "fails" and "fail" in verb.maybe:
            numbers["fail"], always = _number(name, value), ALWAYS
        elif word in RECLAIMS and verb.word in _RECLAIMING:
            numbers["number"] = RECLAIMS.index(word)
        elif found := re.fullmatch(r"zone([1-4])", word, re.ASCII):
            numbers["zone"] = int(found[1]) - 1
        elif verb.word in _FLAGGED and set(word.split("|")) <= set(_LETTERS):
            flags = "".join(_LETTERS[flag] for flag in word.split("|"))
        else:
            raise ValueError(f"{verb.word} does not take {word}")
    missing = [name for name in verb.fields if _WIRE.get(name, name) not in numbers]
    if missing:
        raise ValueError(f"{verb.word} needs {' and '.join(missing)}")
    if verb.word in _FLAGGED:
        _check_flags(flags)
    return token(verb.letter, numbers, flags + always)


def _number(name: str, value: str) -> int:
    most = MOST_ITEMS - 1 if name == "item" else 1_000_000
    if not re.fullmatch(r"[0-9]{1,7}", value, re.ASCII) or int(value) > most:
        raise ValueError(f"{name} is a number from 0 to {most}")
    return int(value)


def _check_flags(flags: str) -> None:
    if ("n" in flags) == ("w" in flags):
        raise ValueError("an allocation has either M_NOWAIT or M_WAITOK")
    if "w" in flags and "v" in flags:
        raise ValueError("the kernel asserts against M_WAITOK with M_NOVM")


def with_cpus(operation: str, cpus: Mapping[int, int]) -> str:
    """Return the operation on other CPUs.

    Raises:
        KeyError: one of its CPUs is not among them.
    """
    return ";".join(_with(part, "cpu", cpus) for part in operation.split(";"))


def with_gap(operation: str, gap: int) -> str:
    """Return an operation in the middle of another one at a place where that could be preempted."""
    found = _TOKEN.fullmatch(operation)
    if found is None:
        raise ValueError(f"not an operation: {operation}")
    numbers = found[2].split(",")
    numbers += [""] * (_FIELDS.index(GAP) - len(numbers))
    return f"{found[1]}{','.join([*numbers, str(gap)])}{found[3]}"


def without_gap(operation: str) -> str:
    """Return the operation with the one in its middle at a callback."""
    outer, semicolon, inner = operation.partition(";")
    found = _TOKEN.fullmatch(inner)
    if found is None:
        return operation
    numbers = ",".join(found[2].split(",")[: _FIELDS.index(GAP)]).rstrip(",")
    return f"{outer}{semicolon}{found[1]}{numbers}{found[3]}"


def without_choices(operation: str) -> Iterator[str]:
    """Generate the operation without one of its optional numbers, such as a domain."""
    outer, inner_too, inner = operation.partition(";")
    found = _TOKEN.fullmatch(outer)
    if found is None:
        return
    numbers = found[2].split(",")
    for name in _BY_LETTER[found[1][-1]].maybe:
        place = _FIELDS.index(_WIRE.get(name, name))
        if name != "fail" and len(numbers) > place and numbers[place]:
            left = ",".join([*numbers[:place], "", *numbers[place + 1 :]]).rstrip(",")
            yield f"{found[1]}{left}{found[3]}{inner_too}{inner}"


def with_zone(operation: str, zones: Mapping[int, int]) -> str:
    """Return the operation on other zones, by their indices."""
    return ";".join(_with(part, "zone", zones) for part in operation.split(";"))


def zone_of(operation: str) -> Iterator[int]:
    """Return the indices of its zones."""
    for part in operation.split(";"):
        found = _TOKEN.fullmatch(part)
        if found is not None and "zone" in _BY_LETTER[found[1][-1]].fields:
            yield int(found[2].split(",")[0] or 0)


def numbers_of(operation: str, field: str) -> Iterator[int]:
    """Return its numbers of that name."""
    for part in operation.split(";"):
        found = _TOKEN.fullmatch(part)
        told = found[2].split(",") if found is not None else []
        place = _FIELDS.index(field)
        if len(told) > place and told[place]:
            yield int(told[place])


def _with(operation: str, field: str, others: Mapping[int, int]) -> str:
    found = _TOKEN.fullmatch(operation)
    if found is None:
        raise ValueError(f"not an operation: {operation}")
    numbers, place = found[2].split(","), _FIELDS.index(field)
    if len(numbers) > place and numbers[place]:
        numbers[place] = str(others[int(numbers[place])])
    return found[1] + ",".join(numbers) + found[3]


def with_items_in_order(operations: Sequence[str]) -> tuple[str, ...]:
    """Return the operations with items numbered from 1 in order of appearance."""
    order: dict[int, int] = {}
    for part in (part for operation in operations for part in operation.split(";")):
        found = _TOKEN.fullmatch(part)
        if found is not None and "item" in _BY_LETTER[found[1][-1]].fields:
            order.setdefault(int(found[2].split(",")[1] or 0), len(order) + 1)
    return tuple(
        ";".join(_with(part, "slot", order) for part in operation.split(";"))
        for operation in operations
    )
