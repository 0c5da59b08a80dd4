"""The harness's own files in a world's image, the same for each run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.host.resources import data_file
from harness.source.revision import combined_hash
from harness.world.config import Services
from harness.world.metalog import FileEntry

if TYPE_CHECKING:
    from pathlib import Path

RC_DIRECTORY: Final = "etc/rc.d"

REPORTER: Final = "sbin/harness-init"
"""The harness's init, which reports and then executes the world's own."""

#: Scripts of /etc/rc.d that stay executable if only few services start. rcorder(8) orders only
#: executable ones, by the placeholders in capitals.
_FEW: Final = frozenset(
    {"root", "mountcritlocal", "hostname", "netif", "sysctl", "random", "sshd", "harness_ready",
     "FILESYSTEMS", "NETWORKING", "SERVERS", "DAEMON", "LOGIN"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file that is added to a world.

    Args:
        entry: path, owner and mode.
        source: the file with its content.
    """

    entry: FileEntry
    source: Path


def own_files(reporter: Path, host_key: Path, authorized: Path) -> tuple[OwnFile, ...]:
    """Return the files that are added to a world.

    Args:
        reporter: the compiled init.
        host_key: sshd's private key; the public key lies beside it, with the suffix ``.pub``.
        authorized: the public key that root accepts.
    """
    public = host_key.with_name(f"{host_key.name}.pub")
    return (
        _shipped("etc/fstab", "fstab"),
        _shipped("etc/rc.conf", "rc.conf"),
        _shipped("etc/ssh/sshd_config", "sshd_config"),
        _shipped(f"{RC_DIRECTORY}/harness_ready", "harness_ready", "0555"),
        OwnFile(FileEntry(REPORTER, mode="0555"), reporter),
        OwnFile(FileEntry("etc/ssh/ssh_host_ed25519_key", mode="0600"), host_key),
        OwnFile(FileEntry("etc/ssh/ssh_host_ed25519_key.pub"), public),
        OwnFile(FileEntry("root/.ssh/authorized_keys", mode="0600"), authorized),
    )


def own_digest() -> str:
    """Return a hash of the files that each image gets, and of the scripts that start."""
    files = (path for path in data_file("images", "world").iterdir() if path.is_file())
    named = sorted(path for path in files if path.suffix != ".md")
    return combined_hash((*(path.read_text() for path in named), *sorted(_FEW)))


def own_directories() -> tuple[FileEntry, ...]:
    """Return the directories of the harness's own files that a world may lack."""
    return (FileEntry("root/.ssh", "dir", mode="0700"),)


def script_modes(paths: Iterable[str], services: Services) -> list[FileEntry]:
    """Return the entries of /etc/rc.d's scripts with the modes for the services that start.

    Args:
        paths: the paths of all files of the world.
        services: what starts.
    """
    if services is Services.ALL:
        return []
    names = [path.removeprefix(f"{RC_DIRECTORY}/") for path in paths if _is_script(path)]
    return [
        FileEntry(f"{RC_DIRECTORY}/{name}", mode="0555" if name in _FEW else "0444")
        for name in names
    ]


def few_scripts() -> str:
    """Return the names of /etc/rc.d's scripts that stay executable if few services start."""
    return " ".join(sorted(_FEW))


def started(entries: Mapping[str, FileEntry]) -> tuple[str, ...]:
    """Return the names of the scripts of /etc/rc.d that are executable."""
    return tuple(
        sorted(
            path.rpartition("/")[2]
            for path, entry in entries.items()
            if _is_script(path) and entry.kind == "file" and int(entry.mode, 8) & 0o111
        )
    )


def _is_script(path: str) -> bool:
    return path.rpartition("/")[0] == RC_DIRECTORY


def _shipped(path: str, name: str, mode: str = "0644") -> OwnFile:
    return OwnFile(FileEntry(path, mode=mode), data_file("images", "world", name))
