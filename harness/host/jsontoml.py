"""Reading of untrusted JSON and TOML, and writing of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

MAX_EXACT: Final = 2**53 - 1
"""The greatest integer that all JSON parsers represent exactly (RFC 8259, section 6)."""


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: the file is not JSON, not UTF-8, or nested too deeply.
        OSError: the file cannot be read.
    """
    return parse_json(path.read_bytes())


def parse_json(text: str | bytes) -> Any:
    """Return the content of a JSON text.

    Raises:
        ValueError: the text is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        ValueError: the file is not a JSON object, not UTF-8, or nested too deeply.
        OSError: the file cannot be read.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    return document


def json_text(document: Mapping[str, Any], indent: int) -> str:
    """Return a document as JSON text, with integers above ``MAX_EXACT`` as hexadecimal strings.

    Addresses and seeds have 64 bits, and many parsers, such as jq's and JavaScript's, round them.
    Values without a JSON type, such as paths and enums, become strings.
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
    """Return the content of a TOML text.

    Raises:
        ValueError: the text is not TOML, or nested too deeply.
    """
    try:
        import tomllib  # slow to import

        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
