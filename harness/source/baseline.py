"""Baselines: the facts of the code below a patch, a mutant or uncommitted changes.

Changed code never selects its own specification. The revision below it does, or the nearest
ancestor whose code has a known form, else the release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.workspace import write_atomic

if TYPE_CHECKING:
    from harness.source.codefacts import CodeReader, Reading
    from harness.source.git import Repository

_PARAM = "sys/sys/param.h"
#: Number of revisions of a reader's files that are searched.
_ANCESTORS = 100
#: Number of results that are cached.
_CACHED = 200


@dataclass(frozen=True, slots=True)
class Baseline:
    """The baseline of a tree's changes.

    Args:
        values: the facts, by name.
        why: their origin: ``the form of 1a2b3c4d5e``.
        of: the commit or tree that changes are compared with.
    """

    values: Mapping[str, bool]
    why: str
    of: str


@dataclass(frozen=True, slots=True)
class BaselineReader:
    """Finds the facts of a revision, or of its nearest ancestor with a known form.

    Args:
        repository: the tree's repository.
        code: reads the facts.
        cache: cache file of ancestors; ignored if corrupt.
    """

    repository: Repository
    code: CodeReader
    cache: Path

    def read(self, base: str, label: str, *, history: bool) -> Baseline:
        """Return the baseline of changes to a revision.

        Args:
            base: a commit or tree.
            label: its name for reports.
            history: whether it has ancestors to search.
        """
        *texts, param = self._blobs(base, (*self.code.paths, _PARAM))
        own = self.code.read(texts).values
        if own is not None:
            return Baseline(own, f"the form of {label}", base)
        ancestor = self._ancestor(base) if history else ""
        values = self.reading(ancestor).values if ancestor else None
        if values is not None:
            why = f"the form of {ancestor[:10]}, the nearest ancestor of {label} with a known form"
            return Baseline(values, why, ancestor)
        values, by = self.code.assume(texts, _freebsd_version(param))
        return Baseline(values, f"{label} has no known form: {by}", base)

    def texts(self, tree: str) -> tuple[bytes, ...]:
        """Return the texts of the reader's files in a commit or tree; empty for missing files."""
        return self._blobs(tree, self.code.paths)

    def reading(self, tree: str) -> Reading:
        """Return the facts in the code of a commit or tree itself."""
        return self.code.read(self.texts(tree))

    def _ancestor(self, commit: str) -> str:
        """Return the nearest ancestor with a known form; empty if there is none.

        The result is cached, because reading many revisions takes seconds.
        """
        known = self._cached()
        if commit not in known:
            limit = f"--max-count={_ANCESTORS}"
            listing = self.repository.git(
                "log", limit, "--format=%H", commit, "--", *self.code.paths
            )
            names = listing.text.split()
            found = next((name for name in names if self.reading(name).values is not None), "")
            known = {commit: found, **dict(list(known.items())[:_CACHED])}
            write_atomic(self.cache, json.dumps(known))
        return known[commit]

    def _cached(self) -> dict[str, str]:
        try:
            data = json.loads(self.cache.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        entries = data.items() if isinstance(data, dict) else ()
        return {key: value for key, value in entries if isinstance(value, str)}

    def _blobs(self, tree: str, paths: Sequence[str]) -> tuple[bytes, ...]:
        blobs = self.repository.blobs([f"{tree}:{path}" for path in paths])
        return tuple(blob or b"" for blob in blobs)


def _freebsd_version(param: bytes) -> int:
    found = re.search(rb"#[ \t]*define[ \t]+__FreeBSD_version[ \t]+(\d{6,8})\b", param)
    return int(found[1]) if found else 0
