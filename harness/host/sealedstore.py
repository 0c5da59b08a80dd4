"""Verified directories of the cache.

Such a directory contains files, and a manifest with the size and SHA-256 of each. It is written
under another name, synced and renamed, so that it is complete even if the host crashes.

Who has verified its files notes their status (inode, size and times) beside them, and the next
process does not read a file whose status is the same, as git does with its index.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from harness.errors import InfraError
from harness.host.inuse import in_use
from harness.host.jsontoml import read_object
from harness.host.seal import FileStatus, Seal, Verified, copy_file, seal_file, status_of
from harness.host.workspace import (
    host_refused,
    make_directory,
    sync_directory,
    unique,
    write_atomic,
)

MANIFEST: Final = "manifest.json"

#: The status and SHA-256 of each file when it was verified.
_NOTED: Final = "verified.json"

_SCHEMA: Final = 1

#: Nanoseconds since a file's last change, from which its status is noted. A file that is changed
#: twice within a tick of the file system's clock, of up to 2 s, has the same status both times.
_SETTLED: Final = 3_000_000_000


class DamageError(InfraError):
    """A file of the cache is damaged."""


def store(directory: Path, files: Mapping[str, Path], texts: Mapping[str, str]) -> dict[str, Seal]:
    """Create a directory with copies of files, and with texts; replace it if it exists.

    Args:
        directory: path within the cache.
        files: files to copy, by name.
        texts: texts to write, by name.

    Returns:
        The seals, by name.

    Raises:
        InfraError: a file cannot be written.
    """
    filling = directory.with_name(f".{directory.name}.{unique()}")
    make_directory(filling)
    try:
        with in_use(filling):
            seals = {name: copy_file(path, filling / name, name) for name, path in files.items()}
            for name, text in texts.items():
                write_atomic(filling / name, text)
                seals[name] = seal_file(filling / name, name)
            _write_manifest(filling, directory.name, seals)
            _rename(filling, directory)
    except OSError as error:
        raise host_refused(directory, error) from error
    finally:
        shutil.rmtree(filling, ignore_errors=True)
    return seals


def add(directory: Path, name: str, file: Path, seals: Mapping[str, Seal]) -> dict[str, Seal]:
    """Add a copy of a file to a directory, and return all its seals.

    Args:
        directory: a directory created by ``store``.
        name: name of the copy.
        file: file to copy.
        seals: seals of the directory's other files.

    Raises:
        InfraError: a file cannot be written.
    """
    filling = directory / f".{name}.{unique()}"
    try:
        seal = copy_file(file, filling, name)
        filling.replace(directory / name)
    except OSError as error:
        raise host_refused(directory / name, error) from error
    finally:
        filling.unlink(missing_ok=True)
    found = {**seals, name: seal}
    _write_manifest(directory, directory.name, found)
    return found


def stored_at(directory: Path) -> float:
    """Return when a directory was stored, in seconds since 1970; 0 if it has no manifest."""
    try:
        return (directory / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0


def check(
    directory: Path, verified: Verified, now: Callable[[], int] = time.time_ns
) -> dict[str, Seal]:
    """Verify a directory, and return its seals.

    Args:
        directory: a directory created by ``store``.
        verified: files that need not be read again.
        now: the time, in nanoseconds since 1970.

    Raises:
        FileNotFoundError: there is no such directory.
        DamageError: a file or the manifest is damaged.
    """
    directory.lstat()
    try:
        seals = _read_manifest(directory)
    except OSError as error:
        raise DamageError(f"{directory}: {MANIFEST}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{directory}: {MANIFEST}: {error}") from error
    before = now() - _SETTLED
    noted, found = _read_noted(directory), _statuses(directory, seals)
    for name, seal in seals.items():
        path = directory / name
        if name in found and noted.get(name) == [*found[name], seal.sha256]:
            verified.trust(path, seal, found[name])
        elif wrong := verified.damage(path, seal):
            raise DamageError(f"{directory}: {name}: {wrong}")
    settled = {name: [*status, seals[name].sha256] for name, status in found.items()
               if max(status.changed, status.modified) < before}  # fmt: skip
    if settled != noted:
        with contextlib.suppress(InfraError):  # such as a full disk: the files are read again
            write_atomic(directory / _NOTED, json.dumps(settled) + "\n", synced=False)
    return seals


def _statuses(directory: Path, seals: Mapping[str, Seal]) -> dict[str, FileStatus]:
    """Return the status of each file that there is."""
    found = {}
    for name in seals:
        with contextlib.suppress(OSError):
            found[name] = status_of((directory / name).lstat())
    return found


def _read_noted(directory: Path) -> dict[str, Any]:
    """Return the noted statuses; none if they cannot be read."""
    try:
        return read_object(directory / _NOTED)
    except (OSError, ValueError):
        return {}


def _write_manifest(directory: Path, key: str, seals: Mapping[str, Seal]) -> None:
    files = [asdict(seal) for seal in seals.values()]
    document = {"schema": _SCHEMA, "key": key, "files": files}
    write_atomic(directory / MANIFEST, json.dumps(document, indent=1) + "\n")


def _read_manifest(directory: Path) -> dict[str, Seal]:
    if directory.is_symlink():
        raise ValueError("the directory is a symbolic link")
    document = read_object(directory / MANIFEST)
    if document["schema"] != _SCHEMA or document["key"] != directory.name:
        raise ValueError("it is of another directory or another version of the harness")
    seals = [Seal(**row) for row in document["files"]]
    if not all(isinstance(seal.name, str) and _is_plain(seal.name) for seal in seals):
        raise ValueError("it names files outside of the directory")
    return {seal.name: seal for seal in seals}


def _is_plain(name: str) -> bool:
    return "/" not in name and "\0" not in name and name not in {"", ".", ".."}


def _rename(filling: Path, directory: Path) -> None:
    """Replace ``directory``, so that its path never names an incomplete directory."""
    old = directory.with_name(f".{directory.name}.{unique()}")
    while True:
        with contextlib.suppress(FileNotFoundError):
            directory.rename(old)
            _remove(old)
        try:
            filling.rename(directory)
        except OSError:
            if not directory.exists():
                raise
            continue  # another process created it: replace that one
        sync_directory(directory.parent)
        return


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
