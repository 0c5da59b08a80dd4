"""What a tree's slab code was before somebody changed it: the form that its changes are held to.

A patch, a mutant and uncommitted changes never choose the form that they are held to: the revision
below them does, or its nearest ancestor whose form is known, or else the release.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.workspace import write_atomic
from harness.source.forms import DOMAINSET, UMA_CORE, Reading, SlabForm, read_form

if TYPE_CHECKING:
    from harness.source.git import Repository

_PARAM = "sys/sys/param.h"
#: How many revisions of the two files are looked at.
_ANCESTORS = 100
#: How many answers are kept.
_CACHED = 200
#: ``__FreeBSD_version`` from which on iterators keep masks, where the text does not tell.
_MASKED_SINCE = 1500000


@dataclass(frozen=True, slots=True)
class Baseline:
    """The form below a tree's changes.

    Args:
        form: of the code.
        why: where it comes from: ``the form of 314a92d5a1``.
        of: the commit or tree whose text changes are shown against.
    """

    form: SlabForm
    why: str
    of: str


@dataclass(frozen=True, slots=True)
class BaselineReader:
    """Finds the form of a revision, or of its nearest ancestor that has a known one.

    Args:
        repository: of the tree.
        cache: a file that keeps which ancestors were found; ignored if corrupt.
    """

    repository: Repository
    cache: Path

    def read(self, base: str, label: str, *, history: bool) -> Baseline:
        """The form to which changes of a revision are held.

        Args:
            base: a commit or tree.
            label: what people call it.
            history: whether it has ancestors to look at.
        """
        reading = self._reading(base)
        if reading.form is not None:
            return Baseline(reading.form, f"the form of {label}", base)
        ancestor = self._ancestor(base) if history else ""
        form = self._reading(ancestor).form if ancestor else None
        if form is not None:
            why = f"the form of {ancestor[:10]}, the nearest ancestor of {label} with a known form"
            return Baseline(form, why, ancestor)
        masked, by = reading.masked, "the release whose iterator it resembles"
        if masked is None:
            version = self._freebsd_version(base)
            masked, by = version >= _MASKED_SINCE, f"by its __FreeBSD_version {version}"
        form = SlabForm(not masked, masked, reserve_fallback=True, domain_wait=True)
        return Baseline(form, f"{label} has no known form: {by}", base)

    def texts(self, tree: str) -> tuple[bytes, bytes]:
        """``uma_core.c`` and ``vm_domainset.c`` of a commit or tree; empty where it has none."""
        uma_core, domainset = self.repository.blobs([f"{tree}:{p}" for p in (UMA_CORE, DOMAINSET)])
        return uma_core or b"", domainset or b""

    def _reading(self, tree: str) -> Reading:
        return read_form(*self.texts(tree))

    def _ancestor(self, commit: str) -> str:
        """The nearest ancestor with a known form; empty without one.

        Reading many revisions takes seconds, so that the answer is kept.
        """
        known = self._cached()
        if commit not in known:
            listing = self.repository.git(
                "log", f"--max-count={_ANCESTORS}", "--format=%H", commit, "--", UMA_CORE, DOMAINSET
            )
            names = listing.text.split()
            found = next((name for name in names if self._reading(name).form is not None), "")
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

    def _freebsd_version(self, base: str) -> int:
        (text,) = self.repository.blobs([f"{base}:{_PARAM}"])
        found = re.search(rb"#[ \t]*define[ \t]+__FreeBSD_version[ \t]+(\d{6,8})\b", text or b"")
        return int(found[1]) if found else 0
