"""Kernel configurations: the text that config(8) reads, and the name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from harness.arch import GUEST
from harness.errors import UsageError
from harness.host.resources import data_file
from harness.kerneloptions import NO_OPTIONS, KernelOptions
from harness.sanitizers import NONE, TABLE, Sanitizers, united

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")

#: An option of ``sys/conf/options``, with which a kernel has the system calls of an older release.
_COMPATIBILITY = re.compile(r"^(COMPAT_FREEBSD(\d+))[ \t]", re.MULTILINE | re.ASCII)

#: The oldest release whose programs a kernel for worlds runs, as the tree's MINIMAL has it.
_OLDEST_WORLD = 10


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """A kernel configuration.

    Args:
        name: KERNCONF, also the kernel's ident.
        text: the configuration, which may include files of the tree.
        sanitizers: the sanitizers of the configuration.
        options: the options that were added or removed; ``text`` contains them.
        for_worlds: whether it is the slim one for worlds, which lacks what depends on the tree.
    """

    name: str
    text: str
    sanitizers: Sanitizers
    options: KernelOptions = NO_OPTIONS
    for_worlds: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def completed(self, listing: str) -> KernelConfig:
        """Return the configuration of a tree, in which worlds of older releases run, too.

        Options that the user removes stay removed: theirs come last.

        Args:
            listing: the tree's ``sys/conf/options``; config(8) refuses what it does not list.
        """
        names = [name for name, release in _COMPATIBILITY.findall(listing)
                 if int(release) >= _OLDEST_WORLD]  # fmt: skip
        added = "".join(f"options\t\t{name}\n" for name in names)
        return replace(self, text=added + self.text, for_worlds=False)


def kernel_config(
    sanitizers: Sanitizers,
    kernconf: str | None = None,
    options: KernelOptions = NO_OPTIONS,
    *,
    userland: bool = False,
) -> KernelConfig:
    """Return the configuration for ``--kernconf`` (None: the slim one), sanitizers and options.

    With ``userland``, the slim one is extended by what a world needs; any other is expected to
    have it.

    ``kernconf`` is a file, or the name of a configuration of the tree, which is included and
    extended by the options that a guest needs. Sanitizers of the configuration are kept.

    Raises:
        UsageError: ``kernconf`` is neither a file nor a name, or the sanitizers exclude each other.
    """
    return _with_options(_named_config(sanitizers, kernconf, userland=userland), options)


def _with_options(config: KernelConfig, options: KernelOptions) -> KernelConfig:
    """Add options to a configuration, whose last ``ident`` is the kernel's."""
    if not options:
        return config
    name = f"{config.name}-{options.label}"
    text = f"{config.text}{options.lines}ident\t\t{name}\n"
    return replace(config, name=name, text=text, options=options)


def _named_config(sanitizers: Sanitizers, kernconf: str | None, *, userland: bool) -> KernelConfig:
    if kernconf is None:
        slim = _shipped(f"{GUEST.name}/slim")
        if userland:
            made = _config("HARNESS-WORLD", slim + _shipped("userland"), sanitizers, NONE)
            return replace(made, for_worlds=True)
        return _config("HARNESS", slim, sanitizers, NONE)
    path = Path(kernconf).expanduser()
    if path.is_file():
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", path.name)
        text = path.read_text("utf-8", "replace")
        return _config(f"HARNESS-{stem}", f"{text}\n", sanitizers, _brought(text, path.name))
    if "/" in kernconf or not _NAME.match(kernconf):
        raise UsageError(
            f"the kernel configuration {kernconf!r} is neither a file nor a name",
            remedy="pass a file, or a configuration of the tree, such as --kernconf GENERIC-KASAN",
        )
    text = f'include\t"{kernconf}"\n' + _shipped(f"{GUEST.name}/guest")
    return _config(f"HARNESS-{kernconf}", text, sanitizers, _brought("", kernconf))


def _config(name: str, text: str, asked: Sanitizers, brought: Sanitizers) -> KernelConfig:
    """Add the sanitizers that the configuration lacks; config(8) accepts each option once."""
    try:
        sanitizers = united(asked, brought)
    except UsageError as error:
        raise UsageError(
            f"cannot add {' and '.join(asked.options)}: the kernel configuration has "
            f"{' and '.join(brought.options)}, and these exclude each other",
            remedy=f"leave out {asked.flags} or the --vm that has it, or pass a configuration "
            "without a sanitizer: --kernconf NAME",
        ) from error
    added = [row for row in sanitizers.rows if row not in brought]
    name = "-".join((name, *(row.option for row in added)))
    fragments = "".join(_shipped(row.name) for row in added)
    return KernelConfig(name, f"{text}{fragments}\nident\t\t{name}\n", sanitizers)


def _brought(text: str, name: str) -> Sanitizers:
    """Return the sanitizers of a configuration, by its options or a name such as GENERIC-KASAN."""
    words = name.upper().split("-")[1:]
    return united(row for row in TABLE if row.option in words or _lists(text, row.option))


def _lists(text: str, option: str) -> bool:
    line = rf"^[ \t]*options[ \t]+{option}[ \t]*(?:#|$)"
    return re.search(line, text, re.MULTILINE) is not None


def _shipped(fragment: str) -> str:
    return data_file("images", "kernconf", fragment).read_text()
