"""The facts of a tree's code, kept by the names of the objects that they were read from."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.source.codefacts import Facts
from harness.source.derived import Derived

if TYPE_CHECKING:
    from harness.source.codefacts import CodeReader, CodeReaders
    from harness.source.treeparts import Content

#: The facts as JSON; ``null`` of code without a known form.
_FACTS: Final = re.compile(r'null|\{(?:"[\w-]+": (?:true|false)(?:, )?)*\}', re.ASCII)

#: Assumed facts as JSON, and where they were read from.
_ASSUMED: Final = re.compile(
    r'\[\{(?:"[\w-]+": (?:true|false)(?:, )?)*\}, "(?:[^"\\]|\\.)*"\]', re.ASCII
)


def own_facts(
    knowledge: CodeReaders, content: Content, read: Callable[[Sequence[str]], Sequence[bytes]],
    directory: Path,
) -> Mapping[str, Mapping[str, bool] | None]:  # fmt: skip
    """Return what each reader finds in the code, by its name; None if it has no known form.

    Args:
        knowledge: the readers.
        content: the files.
        read: returns the texts of files; called once at most.
        directory: where what was read is kept.

    Raises:
        InfraError: the disk is full.
        UsageError: a file is missing.
    """
    version = knowledge.version() if content.is_fixed else ""

    @functools.cache
    def texts() -> Mapping[str, bytes]:
        paths = list(dict.fromkeys(path for code in knowledge.readers for path in code.paths))
        return dict(zip(paths, read(paths), strict=True))

    def found(code: CodeReader) -> str:
        values = code.read([texts()[path] for path in code.paths]).values
        return json.dumps(None if values is None else dict(values))

    def known(code: CodeReader) -> str:
        if not version:
            return found(code)
        inputs = (version, code.name, *map(content.name_of, code.paths))
        return Derived(directory).kept("facts", inputs, lambda: found(code), _FACTS)

    return {code.name: json.loads(known(code)) for code in knowledge.readers}


def kept_facts(directory: Path, inputs: tuple[str, ...], read: Callable[[], Facts]) -> Facts:
    """Return assumed facts, which are read unless they are kept.

    Args:
        directory: where what was read is kept.
        inputs: all that they depend on, the version of the readers' code among them.
        read: reads them.

    Raises:
        InfraError: the disk is full.
    """

    def found() -> str:
        facts = read()
        return json.dumps([dict(facts.values), facts.assumed])

    values, assumed = json.loads(Derived(directory).kept("assumed", inputs, found, _ASSUMED))
    return Facts(values, assumed)
