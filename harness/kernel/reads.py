"""Which sources a kernel's build read, as the compilers told (``-MD``, sys/conf/kern.post.mk)."""

from __future__ import annotations

from pathlib import Path

#: The name of the file that lists them, beside the kernel in the cache.
READS = "reads"


def sources_read(objects: Path, tree: Path) -> frozenset[str]:
    """The files under ``tree`` that went into the objects, by their paths in it.

    Args:
        objects: the kernel's object folder, with a ``.depend.*.o`` for each object.
        tree: the top of the sources.
    """
    top = f"{tree}/"
    told: set[str] = set()
    for path in objects.glob(".depend.*"):
        if path.is_file() and not path.is_symlink():
            told.update(path.read_text("utf-8", "replace").split())
    words = (word.rstrip(":") for word in told)
    return frozenset(_normal(word.removeprefix(top)) for word in words if word.startswith(top))


def _normal(path: str) -> str:
    """Without ``..``, which include paths are full of."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def read_list(kernel: Path) -> frozenset[str] | None:
    """The list that was kept with a kernel; None if there is none."""
    try:
        text = kernel.with_name(READS).read_text("utf-8")
    except OSError:
        return None
    return frozenset(text.splitlines())
