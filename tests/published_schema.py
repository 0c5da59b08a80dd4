"""Documents of ``--json``, read as a program that holds them to the published schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from harness.cli.schema import SCHEMA_FILE, entry_of


def valid(command: str, text: str) -> dict[str, Any]:
    """The one document that a command has printed, once the schema has taken it.

    Raises:
        ValueError: it is no JSON, or there is more than one.
        jsonschema.ValidationError: it is not what the schema says.
    """
    document: dict[str, Any] = json.loads(text)
    published = json.loads(SCHEMA_FILE.read_text("utf-8"))
    published["$ref"] = f"#/$defs/{entry_of(command)}"
    del published["anyOf"]
    jsonschema.Draft202012Validator(published).validate(document)
    return document
