"""The published schema of documents is that of the types."""

from __future__ import annotations

import jsonschema

from harness.cli.schema import SCHEMA_FILE, schema, schema_text


def test_the_published_schema_is_that_of_the_types() -> None:
    assert SCHEMA_FILE.read_text("utf-8") == schema_text(), "run ci/run ci/schema"


def test_the_published_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
