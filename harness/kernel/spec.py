"""Kernel configurations: the text that config(8) reads, and the name it is built under."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.errors import UsageError
from harness.host.resources import data_file

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")


class Sanitizer(StrEnum):
    """A kernel sanitizer, named as FreeBSD's option, in lower case."""

    NONE = "none"
    KASAN = "kasan"
    KMSAN = "kmsan"


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """A kernel configuration.

    Args:
        name: KERNCONF, which is the kernel's ident too.
        text: what config(8) reads; self-contained, or including files of the tree.
        sanitizer: what the configuration was asked to have.
    """

    name: str
    text: str
    sanitizer: Sanitizer

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def kernel_config(sanitizer: Sanitizer, kernconf: str | None = None) -> KernelConfig:
    """The configuration for ``--kernconf`` (None: the slim one) and a sanitizer.

    ``kernconf`` is a file, or the name of one of the tree's configurations, which is
    included and given what a guest of ours needs to boot (config(5), ``include``). A
    sanitizer that it brings need not be asked for.

    Raises:
        UsageError: neither a file nor a name, or with another sanitizer than was asked for.
    """
    if kernconf is None:
        return _config("HARNESS", _shipped("slim"), sanitizer, Sanitizer.NONE)
    path = Path(kernconf).expanduser()
    if path.is_file():
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", path.name)
        text = path.read_text("utf-8", "replace")
        return _config(f"HARNESS-{stem}", f"{text}\n", sanitizer, _brought(text, path.name))
    if "/" in kernconf or not _NAME.match(kernconf):
        raise UsageError(
            f"the kernel configuration {kernconf!r} is neither a file nor a name",
            remedy="name a file, or a configuration of the tree such as GENERIC-KASAN",
        )
    text = f'include\t"{kernconf}"\n' + _shipped("guest")
    return _config(f"HARNESS-{kernconf}", text, sanitizer, _brought("", kernconf))


def _config(name: str, text: str, asked: Sanitizer, brought: Sanitizer) -> KernelConfig:
    """Add the sanitizer that was asked for, unless it is there: config(8) wants it once."""
    if Sanitizer.NONE not in (asked, brought) and asked is not brought:
        raise UsageError(
            f"the kernel configuration has {brought.upper()}, and {asked.upper()} was asked for",
            remedy="a kernel has one sanitizer: leave the flag out, or name a configuration "
            "without one",
        )
    if brought is not Sanitizer.NONE or asked is Sanitizer.NONE:
        return KernelConfig(name, f"{text}\nident\t\t{name}\n", brought)
    name = f"{name}-{asked.upper()}"
    return KernelConfig(name, f"{text}{_shipped(asked.value)}\nident\t\t{name}\n", asked)


def _brought(text: str, name: str) -> Sanitizer:
    """The sanitizer of a configuration: among its options, or in a name as GENERIC-KASAN."""
    for sanitizer in (Sanitizer.KASAN, Sanitizer.KMSAN):
        option = sanitizer.upper()
        listed = re.search(rf"^[ \t]*options[ \t]+{option}[ \t]*(?:#|$)", text, re.MULTILINE)
        if listed or name.upper().endswith(f"-{option}"):
            return sanitizer
    return Sanitizer.NONE


def _shipped(fragment: str) -> str:
    return data_file("images", "kernconf", fragment).read_text()
