"""Kernel options on top of a configuration (config(5)): those of ``--option``. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError, did_you_mean
from harness.sanitizers import TABLE

AS_CONFIGURED: Final = "none"
"""The text of no change."""

#: Why a guest of ours does not boot, or does not tell what it must, without these.
REQUIRED: Final = {
    "INCLUDE_CONFIG_FILE": "by it the guest reports its own configuration",
    "NUMA": "without it the kernel sees one domain, whatever the guest has",
    "SMP": "without it the kernel sees one CPU, whatever the guest has",
    "MD_ROOT": "the root file system is in memory",
    "FFS": "the root file system is one",
    "PRINTF_BUFR_SIZE": "without it the lines of several CPUs are mixed on the console",
}

_REMOVED: Final = "n"
_PRESENT: Final = "y"
_NOT_REMOVED: Final = frozenset({"no", "off", "false"})
"""Values by which config(8) would define an option, whoever meant the contrary."""

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
        name: as ``sys/conf/options`` lists it.
        value: of the option; empty for one without a value.
        removed: the kernel does not have it.
    """

    name: str
    value: str = ""
    removed: bool = False

    def __str__(self) -> str:
        """As ``--option`` takes it."""
        value = _REMOVED if self.removed else self.value
        return f"{self.name}={value}" if value else self.name

    @property
    def lines(self) -> str:
        """Of the configuration; a value given before is replaced."""
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
        """As ``parse_options`` reads them."""
        return ",".join(map(str, self.rows)) or AS_CONFIGURED

    @property
    def texts(self) -> tuple[str, ...]:
        """Each by itself, as records hold them."""
        return tuple(map(str, self.rows))

    @property
    def lines(self) -> str:
        """Of the configuration."""
        return "".join(row.lines for row in self.rows)

    @property
    def words(self) -> str:
        """For people, behind a kernel's label; empty for none."""
        return "".join(
            f" without {row.name}" if row.removed else f" with {row}" for row in self.rows
        )

    @property
    def label(self) -> str:
        """Part of names of files; equal for equal options only. Empty for none."""
        text = "-".join(f"no_{row.name}" if row.removed else str(row) for row in self.rows)
        text = _DECIMAL.sub(r"-\1", text)  # no name begins with a digit
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)
        if plain == text and len(text) <= _LONGEST_LABEL:
            return text
        digest = hashlib.sha256(str(self).encode()).hexdigest()[:8]
        return f"{plain[:_LONGEST_LABEL]}_{digest}"


NO_OPTIONS: Final = KernelOptions()


def parse_options(texts: Iterable[str]) -> KernelOptions:
    """The options of these texts together: ``NAME``, ``NAME=VALUE``, ``NAME=n``, with commas
    between several; ``none`` is none.

    Raises:
        UsageError: one is of no such form, twice with different values, a sanitizer's, or one
            that the harness needs.
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
            remedy=f"use --{sanitizer.name}, or leave it out for a kernel without",
        )
    if value.lower() in _NOT_REMOVED:
        raise UsageError(
            f"--option {word}: an option is not removed by the value {value}",
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
        options: those asked for.
        listings: the texts of its ``sys/conf/options`` and of the architecture's.

    Raises:
        UsageError: there is one; the remedy names those of a similar name.
    """
    known = {name for text in listings for name in _LISTED.findall(text)}
    for row in options.rows:
        if row.name not in known:
            hint = did_you_mean(row.name, sorted(known), most=3)
            raise UsageError(
                f"--option {row}: this tree has no kernel option {row.name}",
                remedy=f"{hint}its options are listed in sys/conf/options*",
            )
