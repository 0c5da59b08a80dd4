"""The configuration of the harness's git directories: own settings, and a few values of the user's.

What is taken from a repository is data: how its objects are named, how its files are compared,
from where missing objects are fetched. Nothing that names a program is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: The harness's settings. They take precedence over the user's configuration, which transfers read.
#: ``fsync``: by default, git does not sync loose objects, which a power failure may then damage.
#: ``alternateRefsCommand``: to list the references of an alternate, git would start another git in
#: the user's repository.
_OURS: Final = """\
[core]
	repositoryformatversion = 1
	bare = true
	alternateRefsCommand = true
	attributesFile = /dev/null
	autocrlf = false
	fsmonitor = false
	hooksPath = /dev/null
	quotePath = false
	sparseCheckout = false
	splitIndex = false
	untrackedCache = false
	fsync = objects,derived-metadata,reference
	fsyncMethod = batch
[advice]
	detachedHead = false
[apply]
	ignoreWhitespace = no
[color]
	ui = false
[diff]
	ignoreSubmodules = all
[gc]
	auto = 0
[maintenance]
	auto = false
[submodule]
	recurse = false
"""

#: Keys whose values are copied, and the patterns of their values.
_WORD: Final = re.compile(r"[\w.-]*\Z", re.ASCII)
_TEXT: Final = re.compile(r"[^\0]*\Z")
_COPIED: Final = {
    re.compile(r"core\.(?:filemode|symlinks|ignorecase|precomposeunicode|trustctime|checkstat)\Z"):
        _WORD,
    re.compile(r"extensions\.(?:objectformat|refstorage)\Z"): _WORD,
    re.compile(r"extensions\.partialclone\Z"): _TEXT,
    re.compile(r"remote\.(?s:.+)\.(?:url|fetch|promisor|partialclonefilter)\Z"): _TEXT,
    re.compile(r"branch\.(?s:.+)\.(?:remote|merge)\Z"): _TEXT,
}  # fmt: skip


def copied_configuration(theirs: Iterable[tuple[str, str]], top: Path | None) -> str:
    """Return the text of the configuration.

    Args:
        theirs: the user's configuration, as printed by ``git config --list``.
        top: the directory that relative URLs of remotes refer to; None without ``theirs``.
    """
    lines = [_OURS]
    for key, value in theirs:
        if not any(name.match(key) and form.match(value) for name, form in _COPIED.items()):
            continue
        given = _absolute(value, top) if key.endswith(".url") and top else value
        section, _, name = key.rpartition(".")
        head, dot, inner = section.partition(".")
        lines.append(f"[{head} {quoted(inner)}]\n" if dot else f"[{head}]\n")
        lines.append(f"\t{name} = {quoted(given)}\n")
    return "".join(lines)


def _absolute(url: str, top: Path) -> str:
    """Return an absolute path for a relative one; other URLs are unchanged."""
    local = "://" not in url and ":" not in url.partition("/")[0]
    return str(top / url) if local else url


def quoted(text: str) -> str:
    """Return a text in double quotes, in the format of git's configuration and path lists."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
