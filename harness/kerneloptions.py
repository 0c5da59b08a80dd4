"""Changes of a kernel configuration (config(5)) by ``--option``; pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError, did_you_mean
from harness.sanitizers import TABLE

AS_CONFIGURED: Final = "none"
"""The text of an unchanged configuration."""

#: Options that a guest needs to boot and to report its state, with the reason.
REQUIRED: Final = {
    "INCLUDE_CONFIG_FILE": "the guest reports its own configuration with it",
    "NUMA": "without it the kernel sees one domain, whatever the guest has",
    "SMP": "without it the kernel sees one CPU, whatever the guest has",
    "MD_ROOT": "the root file system is in memory",
    "FFS": "the root file system is one",
    "PRINTF_BUFR_SIZE": "without it the lines of several CPUs are mixed on the console",
}

_REMOVED: Final = "n"
_PRESENT: Final = "y"
_NOT_REMOVED: Final = frozenset({"no", "off", "false"})
"""Values that look like a removal; with each of them, config(8) would define the option."""

_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9_]{0,63}", re.ASCII)
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:/+-]{1,64}", re.ASCII)
_LISTED: Final = re.compile(r"^([A-Za-z_]\w*)(?:[ \t]|$)", re.MULTILINE | re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-fA-F]+", re.ASCII)
_DECIMAL: Final = re.compile(r"=([0-9]+)(?=-|\Z)", re.ASCII)
_LONGEST_LABEL: Final = 40


@dataclass(frozen=True, slots=True, order=True)
class KernelOption:
    """One option.

    Args:
        name: its name in ``sys/conf/options``.
        value: its value; empty if it has none.
        removed: whether it is removed from the configuration.
    """

    name: str
    value: str = ""
    removed: bool = False

    def __str__(self) -> str:
        """Return the argument of ``--option``."""
        value = _REMOVED if self.removed else self.value
        return f"{self.name}={value}" if value else self.name

    @property
    def lines(self) -> str:
        """Lines of the configuration; they replace an earlier value."""
        text = f"nooptions\t{self.name}\n"
        if self.removed:
            return text
        value = self.value if _NUMBER.fullmatch(self.value) else f'"{self.value}"'
        return f"{text}options\t\t{self.name}{f'={value}' if self.value else ''}\n"


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """The options of one kernel, by name; the text of none is ``none``."""

    rows: tuple[KernelOption, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.rows)

    def __str__(self) -> str:
        """Return the text that ``parse_options`` reads."""
        return ",".join(map(str, self.rows)) or AS_CONFIGURED

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of each option, as records contain them."""
        return tuple(map(str, self.rows))

    @property
    def lines(self) -> str:
        """Lines of the configuration."""
        return "".join(row.lines for row in self.rows)

    @property
    def words(self) -> str:
        """The options in words, to follow a kernel's label; empty if there are none."""
        return "".join(
            f" without {row.name}" if row.removed else f" with {row}" for row in self.rows
        )

    @property
    def label(self) -> str:
        """Part of file names, different for different options; empty if there are none."""
        text = "-".join(f"no_{row.name}" if row.removed else str(row) for row in self.rows)
        text = _DECIMAL.sub(r"-\1", text)  # no name begins with a digit
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)
        if plain == text and len(text) <= _LONGEST_LABEL:
            return text
        digest = hashlib.sha256(str(self).encode()).hexdigest()[:8]
        return f"{plain[:_LONGEST_LABEL]}_{digest}"


NO_OPTIONS: Final = KernelOptions()


def parse_options(texts: Iterable[str]) -> KernelOptions:
    """Return all options of these texts.

    Args:
        texts: lists of ``NAME``, ``NAME=VALUE`` and ``NAME=n``, separated by commas, or ``none``.

    Raises:
        UsageError: an option has another form, is given twice with different values, is a
            sanitizer, or is removed although the harness needs it.
    """
    found: dict[str, KernelOption] = {}
    for text in texts:
        for word in text.split(","):
            if word == AS_CONFIGURED:
                continue
            option = _parse(word)
            if found.setdefault(option.name, option) != option:
                raise UsageError(
                    f"--option {option} contradicts --option {found[option.name]}",
                    remedy=f"give {option.name} once",
                )
    return KernelOptions(tuple(sorted(found.values())))


def _parse(word: str) -> KernelOption:
    name, equals, value = word.partition("=")
    if not _NAME.fullmatch(name) or (equals and not _VALUE.fullmatch(value)):
        raise UsageError(
            f"--option {word!r} is not NAME, NAME=VALUE or NAME=n",
            remedy="write it as in config(5), such as --option MAXCPU=64; =n removes an option",
        )
    sanitizer = next((row for row in TABLE if row.option == name), None)
    if sanitizer is not None:
        raise UsageError(
            f"--option {word}: {name} is a sanitizer",
            remedy=f"use --{sanitizer.name}; for a kernel without it, leave the option out",
        )
    if value.lower() in _NOT_REMOVED:
        raise UsageError(
            f"--option {word}: the value {value} does not remove an option",
            remedy=f"remove it with --option {name}={_REMOVED}",
        )
    if value != _REMOVED:
        return KernelOption(name, "" if value == _PRESENT else value)
    if name in REQUIRED:
        raise UsageError(
            f"--option {word}: the harness needs {name}: {REQUIRED[name]}",
            remedy=f"leave --option {word} out",
        )
    return KernelOption(name, removed=True)


def require_known(options: KernelOptions, listings: Iterable[str]) -> None:
    """Refuse options that a tree does not know.

    Args:
        options: the requested options.
        listings: the texts of ``sys/conf/options`` and of the architecture's ``options`` file.

    Raises:
        UsageError: an option is unknown; the remedy names similar ones.
    """
    known = {name for text in listings for name in _LISTED.findall(text)}
    for row in options.rows:
        if row.name not in known:
            hint = did_you_mean(row.name, sorted(known), most=3)
            raise UsageError(
                f"--option {row}: this tree has no kernel option {row.name}",
                remedy=f"{hint}its options are listed in sys/conf/options*",
            )
