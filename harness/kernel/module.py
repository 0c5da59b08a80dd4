"""The check module, which ``harness check`` drives in the guest.

Its sources are those of ``images/kmod`` and those of one subsystem (``harness/subsystems/*/c``).
Each subsystem has a module of its own, so that the others can be checked if one does not build.

The tree's own ``bsd.kmod.mk`` builds it like any module outside of the tree: with ``SYSDIR`` for
the headers and ``KERNBUILDDIR`` for the kernel's options and sanitizer.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.arch import GUEST
from harness.host.resources import data_file, subsystem_sources

if TYPE_CHECKING:
    from harness.kernel.make import Make

#: The module's name for the kernel's linker; the file has another name.
MODULE = "harness_check"

_FILE = re.compile(MODULE + r"-(?P<subsystem>[a-z][a-z0-9_]*)-[0-9a-f]{12}\.ko")


def module_sources(subsystem: str) -> list[Path]:
    """Return the source files of a subsystem's module."""
    generic = data_file("images", "kmod")
    directories = (generic, generic / GUEST.name, subsystem_sources(subsystem))
    files = (path for each in directories for path in each.iterdir() if path.is_file())
    return sorted(path for path in files if path.suffix in {".c", ".h", ".mk", ""})


def module_file(subsystem: str) -> str:
    """Return the name of the built file; it contains a hash of the sources."""
    digest = hashlib.sha256()
    for path in module_sources(subsystem):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{MODULE}-{subsystem}-{digest.hexdigest()[:12]}.ko"


def modules_among(names: Iterable[str]) -> dict[str, str]:
    """Return the names of modules built from the current sources, by subsystem."""
    found = (_FILE.fullmatch(name) for name in names)
    known = {match[0]: match["subsystem"] for match in found if match is not None}
    return {
        subsystem: name
        for name, subsystem in known.items()
        if subsystem_sources(subsystem).is_dir() and module_file(subsystem) == name
    }


def module_script(make: Make, subsystem: str, work: Path, kernel_objects: Path) -> str:
    """Return the script that builds a module inside ``buildenv``.

    Args:
        make: the tree's make.
        subsystem: the subsystem of the module.
        work: directory of the copied sources.
        kernel_objects: object directory of the kernel, which is already built.
    """
    build = module_build(make, kernel_objects, f" PART={subsystem}")
    return f"#!{shutil.which('sh')}\nset -e\ncd {work}\n{build.flags}{build.command} all\n"


class ModuleBuild(NamedTuple):
    """How a module is built inside ``buildenv``.

    Args:
        flags: the lines of sh(1) that export the sanitizer's flags, where its makefiles do not.
        command: the command of make, without a target.
    """

    flags: str
    command: str


def module_build(make: Make, kernel_objects: Path, more: str = "") -> ModuleBuild:
    """Return how a module is built for a kernel.

    13.x passes the sanitizer's flags to modules on make's command line (``MKMODULESENV`` of
    ``sys/conf/kern.pre.mk``); in later releases, the modules' makefiles set them.

    Args:
        make: the tree's make.
        kernel_objects: object directory of the kernel, which is already built.
        more: arguments of make, after a space.
    """
    from harness.kernel.make import parallel

    build = (
        f"{make.bmake} {parallel()} MK_AUTO_OBJ=no MK_CTF=no MK_SSP=no "
        f"SYSDIR={make.tree}/sys KERNBUILDDIR={kernel_objects}{more}"
    )
    flags = (
        f"san=$({build} -V SAN_CFLAGS)\n"
        f'[ -n "$san" ] || export SAN_CFLAGS="$({make.bmake} -C {kernel_objects} -V SAN_CFLAGS)"\n'
    )
    return ModuleBuild(flags, build)


def lay_out(sources: Sequence[Path], work: Path) -> None:
    """Copy the sources that have changed, so that make builds only these.

    A link that an earlier build has created in place of a source is replaced, not followed.
    """
    for source in sources:
        target = work / source.name
        plain = target.is_file() and not target.is_symlink()
        if not plain or target.read_bytes() != source.read_bytes():
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
