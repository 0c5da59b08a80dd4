"""What was derived from the content of trees, kept in a file.

Each value depends on nothing but its key. Names of git objects are kept in the object store of the
harness's git directory, so that they are forgotten with the objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.host.jsontoml import read_object
from harness.host.workspace import write_atomic
from harness.source.revision import combined_hash

#: Number of values that are kept.
_KEPT: Final = 100

#: Hashes, separated by spaces.
_HASHES: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?(?: [0-9a-f]{40})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Derived:
    """Values by key.

    Args:
        directory: the directory of the file; nothing is kept if it does not exist.
    """

    directory: Path

    def kept(
        self, kind: str, inputs: tuple[str, ...], derive: Callable[[], str],
        form: re.Pattern[str] = _HASHES,
    ) -> str:  # fmt: skip
        """Return a value, derived if it is not kept.

        Args:
            kind: how it is derived; changed when that changes.
            inputs: all that it depends on, such as full names of objects.
            derive: returns the value.
            form: what the file has instead of a value of this form is derived again.

        Raises:
            InfraError: the disk is full.
        """
        file, key = self.directory / "harness-derived.json", combined_hash((kind, *inputs))
        try:
            known = read_object(file)
        except (OSError, ValueError):
            known = {}
        value = known.pop(key, None)
        if isinstance(value, str) and form.fullmatch(value):
            return value
        value = derive()
        if self.directory.is_dir():
            newest = {key: value, **dict(list(known.items())[: _KEPT - 1])}
            write_atomic(file, json.dumps(newest), synced=False)
        return value
