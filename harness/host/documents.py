"""JSON and TOML that others may have written, cut or damaged."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

MAX_EXACT: Final = 2**53 - 1
"""The greatest number that all readers of JSON agree about (RFC 8259, section 6)."""


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply.
        OSError: it cannot be read.
    """
    return parse_json(path.read_bytes())


def parse_json(text: str | bytes) -> Any:
    """The same of a text.

    Raises:
        ValueError: see ``read_json``.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds that must be an object.

    Raises:
        ValueError: it is not one; see ``read_json``.
        OSError: it cannot be read.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    return document


def json_text(document: Mapping[str, Any], indent: int) -> str:
    """A JSON object, in which whole numbers past ``MAX_EXACT`` are hexadecimal text.

    Addresses and seeds have 64 bits; many readers, jq and JavaScript among them, would round them.
    What JSON has no type for (paths, enums) becomes text.
    """
    return json.dumps(_exact(document), indent=indent, default=str) + "\n"


def _exact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _exact(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(each) for each in value]
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        return hex(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text holds.

    Raises:
        ValueError: it is not TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
