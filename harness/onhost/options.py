"""The option headers of a kernel configuration, as config(8) writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

#: Maximum depth of nested includes, so that a loop of files ends; config(8) has no limit.
_DEEPEST: Final = 16

_WORD: Final = re.compile(r'"[^"]*"|[^\s"]+')
_ASSIGNMENT: Final = re.compile(r"([A-Za-z0-9_]+)(?:=(.*))?\Z", re.DOTALL)
_TABLE_LINE: Final = re.compile(
    r"^([A-Za-z0-9_]+)(?:[ \t]+(opt_[a-z0-9_]+\.h))?[ \t]*(?:#.*)?$", re.M
)


def option_headers(
    config: str,
    tables: Sequence[str],
    included: Callable[[str], str | None],
    without: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Return the text of each option header, by its name.

    Args:
        config: the text of the kernel configuration.
        tables: the texts of ``sys/conf/options`` and of the architecture's ``options`` file.
        included: returns the text of an included file; None if it is missing.
        without: options that are left out.
    """
    values = _options(config, included, _DEEPEST)
    headers: dict[str, list[str]] = {}
    for table in tables:
        for option, header in _TABLE_LINE.findall(table):
            lines = headers.setdefault(header or f"opt_{option.lower()}.h", [])
            if option in values and option not in without:
                lines.append(f"#define {option} {values[option]}\n")
    return {name: "".join(lines) for name, lines in headers.items()}


def _options(config: str, included: Callable[[str], str | None], deepest: int) -> Mapping[str, str]:
    """Return the options of a configuration; later lines override earlier ones."""
    values: dict[str, str] = {}
    for keyword, words in _lines(config):
        if keyword == "include" and words and deepest > 0:
            values.update(_options(included(words[0]) or "", included, deepest - 1))
        elif keyword in ("options", "option"):
            values.update(_assigned(words))
        elif keyword == "cpu":
            values.update(dict.fromkeys(words, "1"))
        elif keyword == "device":
            values.update({f"DEV_{word.upper()}": "1" for word in words})
        elif keyword in ("nooptions", "nooption"):
            _remove(values, words)
        elif keyword == "nodevice":
            _remove(values, [f"DEV_{word.upper()}" for word in words])
    return values


def _lines(config: str) -> Iterator[tuple[str, list[str]]]:
    for line in config.splitlines():
        words = [word for word in _WORD.findall(_without_comment(line).replace(",", " ")) if word]
        if words:
            yield words[0], [word.strip('"') if word[0] == '"' else word for word in words[1:]]


def _without_comment(line: str) -> str:
    quoted = False
    for place, character in enumerate(line):
        quoted ^= character == '"'
        if character == "#" and not quoted:
            return line[:place]
    return line


def _assigned(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield an option and its value, 1 by default; quotation marks enclose spaces."""
    found = _ASSIGNMENT.match(" ".join(words)) if words else None
    if found is not None:
        value = "1" if found[2] is None else found[2].strip().strip('"')
        yield found[1], value.replace('\\"', '"')


def _remove(values: dict[str, str], names: Sequence[str]) -> None:
    for name in names:
        values.pop(name, None)
