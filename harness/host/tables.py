"""Tables of TOML and JSON files checked against the types that they are read into."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_PLACED = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (?P<how>contains unknown|missing required) field `(?P<name>.*)`")


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a file: a class of its keys, with their types and defaults."""


@dataclass(eq=False)
class Complaint(Exception):  # noqa: N818 - who reads the file makes an error of it
    """What is wrong with a table.

    Args:
        key: which key, such as ``node[0].cpus``.
        what: what is wrong with it, in words.
        value: what stands there.
        unknown: there is no such key.
        missing: the key must be there.
    """

    key: str
    what: str
    value: Any = None
    unknown: bool = False
    missing: bool = False


def read_table(table: dict[str, Any], kind: type[T]) -> T:
    """The table as a ``kind``; nothing is converted but texts to paths.

    Raises:
        Complaint: the first thing that is wrong with it.
    """
    try:
        return msgspec.convert(table, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise _complaint(str(error), table, kind) from None


def _path(kind: type, value: Any) -> Path:
    if kind is not Path or not isinstance(value, str) or "\0" in value:
        raise ValueError("Expected a path")
    return Path(value)


def _complaint(text: str, table: dict[str, Any], kind: type) -> Complaint:
    placed = _PLACED.fullmatch(text)
    what, where = (placed["what"], placed["where"] or "") if placed else (text, "")
    named = _NAMED.fullmatch(what)
    if named:
        key = f"{where}.{named['name']}".removeprefix(".")
        unknown = named["how"] == "contains unknown"
        return Complaint(key, what, unknown=unknown, missing=not unknown)
    if what.startswith("Invalid enum value"):
        what = f"it must be {' or '.join(map(repr, _choices(kind, where)))}"
    what = what.replace(" | null", "")  # which TOML does not have
    return Complaint(where, what[:1].lower() + what[1:], _value(table, where))


def _steps(key: str) -> list[tuple[str, str]]:
    """A key as msgspec names it, step by step: the name of a field, or the index of an item."""
    return re.findall(r"([^.\[\]]+)|\[(\d+)\]", key)


def _value(table: Any, key: str) -> Any:
    """What stands at a key."""
    for name, index in _steps(key):
        table = table[int(index)] if index else table[name]
    return table


def _choices(kind: type, key: str) -> tuple[Any, ...]:
    """What may stand at a key whose values are few."""
    place: Any = msgspec.inspect.type_info(kind)
    for name, index in _steps(key):
        fields = {} if index else {field.name: field.type for field in place.fields}
        place = _listed(place, int(index)) if index else fields[name]
    several = getattr(place, "types", (place,))  # or nothing, which TOML does not have
    return tuple(value for each in several for value in getattr(each, "values", ()))


def _listed(place: Any, index: int) -> Any:
    """The type of an item of a list or a tuple."""
    types = getattr(place, "item_types", ())
    return types[index] if types else place.item_type
