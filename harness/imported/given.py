"""The file that a user names as a disk image: from a disk or a URL, its hash, its compression."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Final
from urllib.error import HTTPError, URLError

from harness.errors import InfraError, UsageError
from harness.host.seal import seal_file
from harness.host.workspace import host_error

MOST_BYTES: Final = 64 << 30
"""Largest image, unpacked; FreeBSD's own have 6 GiB, most of which are zeros."""

_SPARE_BYTES: Final = 1 << 30
"""What the harness leaves free on the host's disk."""

_CHUNK: Final = 1 << 20
_HOLE: Final = bytes(_CHUNK)

_XZ: Final = b"\xfd7zXZ\x00"
_XZ_MEMORY: Final = 256 << 20
"""Memory of the decompressor; ``xz -9`` needs 65 MiB."""

_OTHERS: Final = (
    (b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip"),
)  # fmt: skip
"""How files begin that other programs compressed."""

_SILENCE_SECONDS: Final = 60.0
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://", re.ASCII)


@dataclass(frozen=True, slots=True)
class GivenImage:
    """A disk image that can be read.

    Args:
        path: the file, unpacked.
        sha256: SHA-256 of the file as it was given.
    """

    path: Path
    sha256: str


def given_image(name: str, sha256: str | None, scratch: Path) -> GivenImage:
    """Return the image that a user names.

    Args:
        name: a path, or a URL of the kind https; http, too, if ``sha256`` is given.
        sha256: the expected SHA-256 of the file; None if it is unknown.
        scratch: a directory for what is fetched and unpacked.

    Raises:
        UsageError: there is no such file, it is not the expected one, or it cannot be unpacked.
        InfraError: the network failed, or the host's disk is full.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise UsageError(
            f"--sha256: {sha256!r} is not a SHA-256", remedy="give its 64 hexadecimal digits"
        )
    path = _fetched(name, scratch, checked=sha256 is not None) if is_url(name) else _file(name)
    found = _digest(path)
    if sha256 is not None and found != sha256.lower():
        raise UsageError(
            f"{name} is not the expected file: its SHA-256 is {found}, not {sha256.lower()}",
            remedy="fetch it again, or compare the hash with what its publisher states",
        )
    return GivenImage(_unpacked(path, name, scratch), found)


def is_url(name: str) -> bool:
    """Return whether a name is a URL, and not a path."""
    return _URL.match(name) is not None


def beginning(path: Path, size: int = 64) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(size)


def _file(name: str) -> Path:
    path = Path(name)
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(
            f"cannot read the image {name}: {error.strerror}", remedy="name a file or a URL"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise UsageError(f"the image {name} is {what}", remedy="name a file or a URL")
    if not os.access(path, os.R_OK):
        raise UsageError(
            f"cannot read the image {name}: permission denied", remedy="make it readable"
        )
    return path


def _fetched(url: str, scratch: Path, *, checked: bool) -> Path:
    """Fetch a URL into a file."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, scheme = parts.hostname, parts.scheme.lower()
    except ValueError as error:
        raise UsageError(f"{url} is not a URL: {error}", remedy="name a file or a URL") from error
    if not host:
        raise UsageError(f"the URL {url} names no host", remedy="name a file or a URL")
    schemes = frozenset({"https", "http"} if checked else {"https"})
    _require_scheme(scheme, schemes, url)
    target = scratch / "fetched"
    opener = urllib.request.build_opener(_Redirections(schemes))
    try:
        with opener.open(url, timeout=_SILENCE_SECONDS) as answer:
            _write(_chunks(answer), target, url)
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        if isinstance(error, HTTPError):
            error.close()
        why = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
        raise InfraError(
            f"cannot fetch {url}: {why}",
            remedy="try again, or fetch it by hand and name the file",
        ) from error
    return target


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections to what could have been named instead."""

    def __init__(self, schemes: frozenset[str]) -> None:
        self._schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: HTTPMessage, newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        """See ``HTTPRedirectHandler``, which follows https to http."""
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        try:
            _require_scheme(scheme, self._schemes, f"{req.full_url}, which leads to {newurl}")
        except UsageError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_scheme(scheme: str, schemes: frozenset[str], what: str) -> None:
    if scheme not in schemes:
        raise UsageError(
            f"images are not fetched by {scheme}: {what}",
            remedy="name an https URL, or an http one with --sha256",
        )


def _unpacked(path: Path, name: str, scratch: Path) -> Path:
    """Return the file, or what it unpacks to."""
    start = beginning(path)
    if not start:
        raise UsageError(f"the image {name} is empty", remedy="fetch it again")
    for magic, program in _OTHERS:
        if start.startswith(magic):
            raise UsageError(
                f"the image {name} is compressed by {program}",
                remedy="unpack it by hand, and name the result; xz alone is unpacked",
            )
    if not start.startswith(_XZ):
        return path
    target = scratch / "unpacked"
    with path.open("rb") as file:
        _write(_decompressed(file, name), target, name)
    if beginning(target).startswith(_XZ):
        raise UsageError(f"the image {name} is compressed twice", remedy="unpack it by hand")
    return target


def _decompressed(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Generate what a file of xz contains, chunk by chunk; it may have several streams."""
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    data = b""
    try:
        while True:
            if unpacker.eof:
                data = unpacker.unused_data.lstrip(b"\0") or file.read(_CHUNK).lstrip(b"\0")
                if not data:
                    return
                unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            elif unpacker.needs_input:
                data = file.read(_CHUNK)
                if not data:
                    raise UsageError(
                        f"the image {name} is truncated: its compressed data has no end",
                        remedy="fetch it again",
                    )
            yield unpacker.decompress(data, _CHUNK)
            data = b""
    except lzma.LZMAError as error:
        raise UsageError(
            f"the image {name} cannot be unpacked: {error}", remedy="fetch it again"
        ) from error


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(_CHUNK):
        yield data


def _write(chunks: Iterable[bytes], target: Path, name: str) -> None:
    """Write chunks into a new file, zeros as holes, within the limits."""
    size, room = 0, shutil.disk_usage(target.parent).free - _SPARE_BYTES
    try:
        with target.open("wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > MOST_BYTES:
                    raise UsageError(
                        f"the image {name} has more than {MOST_BYTES >> 30} GiB",
                        remedy="name a smaller one",
                    )
                if chunk == _HOLE[: len(chunk)]:
                    file.seek(len(chunk), os.SEEK_CUR)
                    continue
                room -= len(chunk)
                if room < 0:
                    raise InfraError(
                        f"the disk of {target.parent} is too full for the image {name}",
                        remedy="free some space, such as with harness gc",
                    )
                file.write(chunk)
            file.truncate(size)
    except OSError as error:
        if isinstance(error, URLError | TimeoutError | ConnectionError):
            raise
        raise host_error(error) from error


def _digest(path: Path) -> str:
    try:
        return seal_file(path, path.name).sha256
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open an image for reading.

    Raises:
        InfraError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InfraError:
    return InfraError(f"cannot read {path}: {error.strerror}", remedy="check the file and its disk")
