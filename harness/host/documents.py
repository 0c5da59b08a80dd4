"""JSON and TOML that others may have written, cut or damaged."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any


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


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text holds.

    Raises:
        ValueError: it is not TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
