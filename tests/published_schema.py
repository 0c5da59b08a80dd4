"""Validates documents of ``--json`` with the published schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from harness.cli.schema import SCHEMA_FILE, entry_of


def valid(command: str, text: str) -> dict[str, Any]:
    """Return the only document that a command printed, validated.

    Raises:
        ValueError: it is not JSON, or there are several.
        jsonschema.ValidationError: the schema does not permit it.
    """
    document: dict[str, Any] = json.loads(text)
    published = json.loads(SCHEMA_FILE.read_text("utf-8"))
    published["$ref"] = f"#/$defs/{entry_of(command)}"
    del published["anyOf"]
    jsonschema.Draft202012Validator(published).validate(document)
    return document
