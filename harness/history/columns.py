"""Types of columns that hold the same values in every database."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.types import JSON, TypeDecorator

#: What a database cannot store in a text: NUL (PostgreSQL) and lone surrogates (UTF-8).
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """Return a text in which each character that no database stores is U+FFFD."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def words(length: int | None = None) -> String:
    """Return the type of a text that is ordered by its code points in every database and locale.

    Args:
        length: characters at most, which SQLite ignores; PostgreSQL is given none.
    """
    own = Text() if length is None else String(length)
    return own.with_variant(Text(collation="C"), "postgresql")


class GuestText(TypeDecorator[str]):
    """A text from a guest, a tree or a tool, which may contain anything."""

    impl = words()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it is stored."""
        del dialect
        return None if value is None else storable(value)


class UtcTime(TypeDecorator[datetime]):
    """A moment; stored in UTC without a time zone, and read with one."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        del dialect
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment with its time zone."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


class Seed(TypeDecorator[int]):
    """An unsigned integer of 64 bits, which no column type holds in every database."""

    impl = words(20)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """Return the decimal digits."""
        del dialect
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """Return the number."""
        del dialect
        return None if value is None else int(value)


class GuestJson(TypeDecorator[Any]):
    """A JSON value that contains texts of guests."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the value as it is stored."""
        del dialect
        return storable_value(value)


def storable_value(value: Any) -> Any:
    """Return a JSON value in which each character that no database stores is U+FFFD."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): storable_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable_value(each) for each in value]
    return value
