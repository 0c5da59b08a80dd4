"""What is added to an image that was made elsewhere, and the ways in which it gets there.

A guest reads it from two disks: a tar archive, and a config drive, as cloud-init has them.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.host.resources import data_file
from harness.host.workspace import host_error, make_directory, write_atomic
from harness.image.assemble import init_program
from harness.world.config import Services
from harness.world.image import new_key, public_file
from harness.world.layout import few_scripts, own_directories, own_files

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.workspace import Workspace
    from harness.world.layout import OwnFile

_PREPARE: Final = "prepare.sh"
_RC_CONF: Final = "etc/rc.conf"
_KEPT: Final = frozenset({"etc/fstab", _RC_CONF})
"""Files of the image that are not replaced."""

_USER_DATA: Final = "#!/bin/sh\nexec /bin/sh -c '{command}'\n"


@dataclass(frozen=True, slots=True)
class ImportAddition:
    """The files for one image.

    Args:
        archive: a tar archive of them, which a guest reads as a disk.
        key: the private key that root will accept.
        host_key: the public key of sshd.
    """

    archive: Path
    key: Path
    host_key: Path


def make_addition(
    directory: Path, services: Services, workspace: Workspace, runner: Runner
) -> ImportAddition:
    """Make the archive, with new keys.

    Args:
        directory: where its files are created.
        services: what starts with the image.
        workspace: the workspace of the cache.
        runner: starts the compiler.

    Raises:
        InfraError: the compiler is missing or failed, or the disk is full.
    """
    reporter = init_program(workspace, runner)
    host_key, key = (new_key(directory / name) for name in ("host_key", "key"))
    files = own_files(reporter, host_key, public_file(key))
    texts = {
        _PREPARE: data_file("images", "world", "imported", _PREPARE).read_bytes(),
        "rc.conf": next(file.source for file in files if file.entry.path == _RC_CONF).read_bytes(),
        "scripts": few_scripts().encode() if services is Services.FEW else b"",
    }
    archive = directory / "addition.tar"
    try:
        with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, text in texts.items():
                tar.addfile(_member(name, 0o444, len(text)), io.BytesIO(text))
            _add_files(tar, [file for file in files if file.entry.path not in _KEPT])
    except OSError as error:
        raise host_error(error) from error
    return ImportAddition(archive, key, public_file(host_key))


def _add_files(tar: tarfile.TarFile, files: list[OwnFile]) -> None:
    for entry in own_directories():
        member = _member(f"files/{entry.path}", int(entry.mode, 8), 0)
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    for file in files:
        content = file.source.read_bytes()
        member = _member(f"files/{file.entry.path}", int(file.entry.mode, 8), len(content))
        tar.addfile(member, io.BytesIO(content))


def _member(name: str, mode: int, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.size = mode, size
    member.uname, member.gname = "root", "wheel"
    return member


def prepare_command(disk: str, nonce: str, way: str) -> str:
    """Return the command of sh(1) that adds the files and powers off.

    Args:
        disk: the guest's device with the archive.
        nonce: proves what the guest prints.
        way: how the command got there; it is printed, too.
    """
    return f"tar -xOf {disk} {_PREPARE} | /bin/sh -s -- {disk} {nonce} {way}"


def make_config_drive(directory: Path, command: str, nonce: str, runner: Runner) -> Path:
    """Make a config drive whose user data runs a command at the first boot (nuageinit(7)).

    Args:
        directory: where it is created.
        command: the command.
        nonce: identifies the instance.
        runner: starts makefs.

    Raises:
        InfraError: makefs is not installed, or failed.
    """
    content, drive = directory / "drive", directory / "drive.iso"
    make_directory(content)
    write_atomic(content / "meta-data", f"instance-id: harness-{nonce}\n")
    write_atomic(content / "user-data", _USER_DATA.format(command=command))
    runner.run(["makefs", "-t", "cd9660", "-o", "rockridge,label=CIDATA", drive, content])
    return drive
