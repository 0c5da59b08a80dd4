"""The evidence for a cell's outcome, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def identity_lines(cell: Mapping[str, Any]) -> list[str]:
    """Return which kernel ran, whether that is verified, and how the machine differs for it.

    Args:
        cell: ``Cell`` as a JSON document; a cell without a verification gives no lines.
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
    heading = ["the kernel sees another machine:"] if differences else []
    return [*lines, "verified: yes", *heading, *differences]


#: Indentation of console lines.
CONSOLE_INDENT = "    "


def console_lines(cell: Mapping[str, Any]) -> list[str]:
    """Return the stored excerpt of the console, with a heading."""
    console = cell.get("console")
    return ["console:", *(f"{CONSOLE_INDENT}{line}" for line in console)] if console else []
