"""The JSON schema of what ``--json`` prints, from the types of ``harness.cli.jsonoutput``.

It is published as ``harness/schema.json``, which ``ci/schema`` writes. Each command has an entry
in ``$defs``: ``harness-boot``, ``harness-model-predict``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.cli.jsonoutput import DOCUMENTS, ERROR
from harness.cli.streams import SCHEMA

SCHEMA_FILE: Final = Path(__file__).parents[1] / "schema.json"
"""The published file."""


def schema() -> dict[str, Any]:
    """Return the schema of all documents: a command's, or the error in its place."""
    types = list(dict.fromkeys([*(kind for kinds in DOCUMENTS.values() for kind in kinds), ERROR]))
    references, definitions = msgspec.json.schema_components(
        types, schema_hook=_path, ref_template="#/$defs/{name}"
    )
    named = dict(zip(types, references, strict=True))
    commands = {
        entry_of(command): {
            "title": f"harness {command} --json",
            "type": "object",
            "properties": {"schema": {"const": SCHEMA}},
            "required": ["schema"],
            "anyOf": [named[kind] for kind in (*kinds, ERROR)],
        }
        for command, kinds in DOCUMENTS.items()
    }
    return _for_all_readers(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "harness COMMAND --json",
            "anyOf": [{"$ref": f"#/$defs/{entry}"} for entry in commands],
            "$defs": {**commands, **dict(sorted(definitions.items()))},
        }
    )


def schema_text() -> str:
    """Return the text of the published file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def entry_of(command: str) -> str:
    """Return a command's key in ``$defs``."""
    return f"harness-{command.replace(' ', '-')}"


def _path(kind: type) -> dict[str, Any]:
    if kind is Path:
        return {"type": "string"}
    raise NotImplementedError


def _for_all_readers(document: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without anchors that only Python uses and private type names."""
    text = json.dumps(document).replace('"#/$defs/_', '"#/$defs/')
    text = text.replace(r"\\A", "^").replace(r"\\Z", "$")
    public: dict[str, Any] = json.loads(text)
    public["$defs"] = {name.lstrip("_"): each for name, each in public["$defs"].items()}
    return public
