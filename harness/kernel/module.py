"""The module that ``harness check`` talks to, built against a kernel.

Its sources are those of ``images/kmod`` and those of one subsystem (``harness/subsystems/*/c``):
each has a module of its own, so that one that does not build leaves the others.

The tree's own ``bsd.kmod.mk`` builds it, as kld(4) modules outside of the tree are built: with
``SYSDIR`` for the headers and ``KERNBUILDDIR`` for the kernel's options and sanitizer.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.host.resources import data_file, subsystem_sources

if TYPE_CHECKING:
    from harness.kernel.make import Make

#: The module's name for the kernel's linker, whatever the file is called.
MODULE = "harness_check"

_FILE = re.compile(MODULE + r"-(?P<subsystem>[a-z][a-z0-9_]*)-[0-9a-f]{12}\.ko")


def module_sources(subsystem: str) -> list[Path]:
    """The files that make it, for that subsystem."""
    generic = data_file("images", "kmod")
    directories = (generic, generic / GUEST.name, subsystem_sources(subsystem))
    files = (path for each in directories for path in each.iterdir() if path.is_file())
    return sorted(path for path in files if path.suffix in {".c", ".h", ".mk", ""})


def module_file(subsystem: str) -> str:
    """The name of the built file beside its kernel; other sources give another name."""
    digest = hashlib.sha256()
    for path in module_sources(subsystem):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{MODULE}-{subsystem}-{digest.hexdigest()[:12]}.ko"


def modules_among(names: Iterable[str]) -> dict[str, str]:
    """The modules of today's sources among the names of files, by their subsystem."""
    found = (_FILE.fullmatch(name) for name in names)
    known = {match[0]: match["subsystem"] for match in found if match is not None}
    return {
        subsystem: name
        for name, subsystem in known.items()
        if subsystem_sources(subsystem).is_dir() and module_file(subsystem) == name
    }


def module_script(make: Make, subsystem: str, work: Path, kernel_objects: Path) -> str:
    """Run inside ``buildenv``.

    13.x tells modules the sanitizer's flags on make's command line (``MKMODULESENV`` of
    ``sys/conf/kern.pre.mk``); later releases find them by themselves.

    Args:
        make: of the tree.
        subsystem: whose part it has.
        work: where the sources are copied to and built.
        kernel_objects: of the kernel, which is built.
    """
    from harness.kernel.make import parallel

    build = (
        f"{make.bmake} {parallel()} MK_AUTO_OBJ=no MK_CTF=no MK_SSP=no "
        f"SYSDIR={make.tree}/sys KERNBUILDDIR={kernel_objects} PART={subsystem}"
    )
    return (
        f"#!{shutil.which('sh')}\nset -e\ncd {work}\n"
        f"san=$({build} -V SAN_CFLAGS)\n"
        f'[ -n "$san" ] || export SAN_CFLAGS="$({make.bmake} -C {kernel_objects} -V SAN_CFLAGS)"\n'
        f"{build} all\n"
    )


def lay_out(sources: Sequence[Path], work: Path) -> None:
    """Copy those sources that have changed, so that make builds what has changed.

    What an earlier build has put in their place is replaced, not written through.
    """
    for source in sources:
        target = work / source.name
        plain = target.is_file() and not target.is_symlink()
        if not plain or target.read_bytes() != source.read_bytes():
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
