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
    included and given what a guest of ours needs to boot (config(5), ``include``).

    Raises:
        UsageError: neither a file nor a name.
    """
    fragment = "" if sanitizer is Sanitizer.NONE else _shipped(sanitizer.value)
    suffix = "" if sanitizer is Sanitizer.NONE else f"-{sanitizer.value.upper()}"
    if kernconf is None:
        return _config(f"HARNESS{suffix}", _shipped("slim") + fragment, sanitizer)
    path = Path(kernconf).expanduser()
    if path.is_file():
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", path.name)
        text = path.read_text("utf-8", "replace")
        return _config(f"HARNESS-{stem}{suffix}", text + "\n" + fragment, sanitizer)
    if "/" in kernconf or not _NAME.match(kernconf):
        raise UsageError(
            f"the kernel configuration {kernconf!r} is neither a file nor a name",
            remedy="name a file, or a configuration of the tree such as GENERIC-KASAN",
        )
    # GENERIC-KASAN has the option already; config(8) takes a second one as a duplicate.
    fragment = "" if kernconf.upper().endswith(suffix or "\0") else fragment
    marker = suffix if fragment else ""
    text = f'include\t"{kernconf}"\n' + _shipped("guest") + fragment
    return _config(f"HARNESS-{kernconf}{marker}", text, sanitizer)


def _config(name: str, text: str, sanitizer: Sanitizer) -> KernelConfig:
    return KernelConfig(name, f"{text}\nident\t\t{name}\n", sanitizer)


def _shipped(fragment: str) -> str:
    return data_file("images", "kernconf", fragment).read_text()
