"""Programs that the harness starts: where they are, and the packages that have them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.arch import TABLE
from harness.errors import InfraError

#: The Debian packages of programs that the harness starts, for remedies.
PACKAGES = {
    "git": "git",
    "bwrap": "bubblewrap",
    **{row.program: row.package for row in TABLE},
    "gdb": "gdb",
    "makefs": "makefs",
    "libvirtd": "libvirt-daemon-system",
    "virtlogd": "libvirt-daemon-system",
    "sh": "dash",
    "patch": "patch",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "timeout": "coreutils",
}

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def missing_program(name: str) -> InfraError:
    """Return the error for a program that is not installed, with the command that installs it."""
    package = PACKAGES.get(name, name)
    return InfraError(
        f"the program {name} is not installed", remedy=f"install it: apt-get install {package}"
    )


def find_program(name: str) -> Path | None:
    """Return the path of a program, or None."""
    # makefs and libvirtd are in sbin, which is not in the PATH of Debian's ordinary users.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def require_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        InfraError: the program is not installed.
    """
    found = find_program(name)
    if found is None:
        raise missing_program(name)
    return str(found)
