"""The sources that a kernel's build read, from the compilers' dependency files (``-MD``)."""

from __future__ import annotations

from pathlib import Path

#: The name of the file with their list, next to the kernel in the cache.
READS = "reads"


def sources_read(objects: Path, tree: Path) -> frozenset[str]:
    """Return the files below ``tree`` that the objects were built from, as relative paths.

    Args:
        objects: the kernel's object directory, with a ``.depend.*.o`` for each object.
        tree: the top of the sources.
    """
    top = f"{tree}/"
    found: set[str] = set()
    for path in objects.glob(".depend.*"):
        if path.is_file() and not path.is_symlink():
            found.update(path.read_text("utf-8", "replace").split())
    words = (word.rstrip(":") for word in found)
    return frozenset(_normal(word.removeprefix(top)) for word in words if word.startswith(top))


def _normal(path: str) -> str:
    """Return a path without ``..``, which include paths contain."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def read_list(kernel: Path) -> frozenset[str] | None:
    """Return the list that is stored with a kernel; None if there is none."""
    try:
        text = kernel.with_name(READS).read_text("utf-8")
    except OSError:
        return None
    return frozenset(text.splitlines())
