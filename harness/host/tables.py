"""Tables of TOML and JSON files, converted to types and checked."""

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
    """Base class of tables: the fields are the table's keys, with types and defaults."""


@dataclass(eq=False)
class Complaint(Exception):  # noqa: N818 - callers convert it to their own error
    """A key of a table is wrong.

    Args:
        key: the key, such as ``node[0].cpus``.
        what: what is wrong with it.
        value: its value.
        unknown: the type has no such key.
        missing: the key is required.
    """

    key: str
    what: str
    value: Any = None
    unknown: bool = False
    missing: bool = False


def read_table(table: dict[str, Any], kind: type[T]) -> T:
    """Return a table as a ``kind``. Types must match; only strings are converted, to paths.

    Raises:
        Complaint: a key is wrong; only the first one is reported.
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
    """Return the parts of a key of msgspec, each a field's name or an item's index."""
    return re.findall(r"([^.\[\]]+)|\[(\d+)\]", key)


def _value(table: Any, key: str) -> Any:
    """Return the value of a key; None if msgspec does not say which one of a mapping it is."""
    try:
        for name, index in _steps(key):
            table = table[int(index)] if index else table[name]
    except (KeyError, IndexError, TypeError):
        return None
    return table


def _choices(kind: type, key: str) -> tuple[Any, ...]:
    """Return the values that the type of a key, an enum or a literal, allows."""
    type_: Any = msgspec.inspect.type_info(kind)
    for name, index in _steps(key):
        fields = {} if index else {field.name: field.type for field in type_.fields}
        type_ = _item_type(type_, int(index)) if index else fields[name]
    several = getattr(type_, "types", (type_,))  # with null, which TOML does not have
    return tuple(value for each in several for value in getattr(each, "values", ()))


def _item_type(type_: Any, index: int) -> Any:
    """Return the type of an item of a list or a tuple."""
    types = getattr(type_, "item_types", ())
    return types[index] if types else type_.item_type
