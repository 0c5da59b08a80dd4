"""The paths in a patch, as git-apply(1) and patch(1) read them from its headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

#: Numbers of old and new lines of a hunk.
_HUNK: Final = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_GIT: Final = re.compile(rb"(?:rename|copy) (?:from|to) (?P<path>.+)")
_OLD: Final = re.compile(rb"--- (?P<path>.+)")
_NEW: Final = re.compile(rb"\+\+\+ (?P<path>.+)")

_ESCAPE: Final = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS: Final = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t",
                   b"v": b"\v"}  # fmt: skip

_NO_FILE: Final = "/dev/null"


def outside(path: str) -> bool:
    """Return whether a path is outside of the tree, with or without its prefix ``b/``."""
    parts = path.split("/")
    return path != _NO_FILE and (".." in parts or "" in parts[:2])


def named_paths(patch: bytes) -> Iterator[str]:
    """Generate the paths of all files in a patch, with their prefixes ``a/`` and ``b/``.

    Lines inside a hunk are content, even if they look like headers.
    """
    for line in _headers(patch):
        for word in _words(line):
            yield word.decode("utf-8", "surrogateescape")


def _headers(patch: bytes) -> Iterator[bytes]:
    old = new = 0
    for line, following in pairwise([*patch.split(b"\n"), b""]):
        if old > 0 or new > 0:
            old -= not line.startswith((b"+", b"\\"))
            new -= not line.startswith((b"-", b"\\"))
        elif hunk := _HUNK.match(line):
            old, new = (int(count or 1) for count in hunk.groups())
        elif _OLD.match(line) and _NEW.match(following):
            yield line[4:]
            yield following[4:]
        elif named := _GIT.fullmatch(line.rstrip(b"\r")):
            yield named["path"]
        elif line.startswith(b"diff --git "):
            yield from line.removeprefix(b"diff --git ").split(b" ")


def _words(name: bytes) -> Iterator[bytes]:
    """Generate a name without its timestamp, and unquoted (git-config(1), core.quotePath)."""
    text = name.rstrip(b"\r")
    quoted = re.match(rb'"((?:[^"\\]|\\.)*)"', text)
    if quoted is None:
        yield text.partition(b"\t")[0]
    else:
        yield _ESCAPE.sub(_unescaped, quoted[1])


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes([int(code, 8) & 0xFF]) if len(code) == 3 else _LETTERS.get(code, code)
