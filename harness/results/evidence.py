"""What a cell rests on, for people and for machines that read lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def identity_lines(cell: Mapping[str, Any]) -> list[str]:
    """Which kernel was booted on what, whether that is proven, and what the kernel sees instead.

    Args:
        cell: ``Cell`` as JSON's types; older records prove nothing and give no lines.
    """
    verification = cell.get("verification")
    if verification is None:
        return []
    kernel = [
        verification["version"] or "a kernel without a version",
        f"build id {verification['build_id'] or 'none'}",
        " ".join(verification["sanitizers"]) or "no sanitizer",
        cell["accelerator"],
    ]
    lines = [f"kernel: {', '.join(kernel)}"]
    if verification["doubts"]:
        return [*lines, "verified: no", *(f"  {doubt}" for doubt in verification["doubts"])]
    differences = [f"  {difference}" for difference in cell["disagreements"]]
    heading = ["differs from what it was given:"] if differences else []
    return [*lines, "verified: yes", *heading, *differences]


#: Before each line of a console.
CONSOLE_INDENT = "    "


def console_lines(cell: Mapping[str, Any]) -> list[str]:
    """The slice of the console that the record keeps, indented below a line that names it."""
    console = cell.get("console")
    return ["console:", *(f"{CONSOLE_INDENT}{line}" for line in console)] if console else []
