"""The evidence for a cell's outcome, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.host.accelerator import Accelerator


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
        *accelerators(cell),
    ]
    lines = [f"kernel: {', '.join(kernel)}"]
    if verification["doubts"]:
        return [*lines, "verified: no", *(f"  {doubt}" for doubt in verification["doubts"])]
    differences = [f"  {difference}" for difference in cell["disagreements"]]
    heading = ["the kernel sees another machine:"] if differences else []
    return [*lines, "verified: yes", *heading, *differences]


def unproven_lines(cells: Iterable[Mapping[str, Any]]) -> list[str]:
    """What nothing proves of the machines that were booted, each once."""
    found = [cell.get("verification") or {} for cell in cells]
    words = [each for verification in found for each in verification.get("unproven", ())]
    return [f"not proven: {each}" for each in dict.fromkeys(words)]


def accelerators(boot: Mapping[str, Any]) -> list[str]:
    """The accelerator of a cell or a repeat, if it had one."""
    accelerator = boot["accelerator"]
    return [] if accelerator == Accelerator.NONE else [accelerator]


#: Indentation of console lines.
CONSOLE_INDENT = "    "


def console_lines(cell: Mapping[str, Any]) -> list[str]:
    """Return the stored excerpt of the console, with a heading."""
    console = cell.get("console")
    return ["console:", *(f"{CONSOLE_INDENT}{line}" for line in console)] if console else []
