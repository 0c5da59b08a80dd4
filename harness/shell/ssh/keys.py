"""Ed25519 keys of guests, as OpenSSH's files: host keys and the keys of users.

cryptography, which paramiko stands on, makes them without a process of its own, and without the
comment by which ssh-keygen(1) names the host and its user.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from harness.errors import InfraError
from harness.host.workspace import host_error

KEY_TYPE: Final = "ssh-ed25519"

_MOST_BYTES: Final = 16384
_CLOSED_TO_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key.

    Args:
        private: the content of its file.
        public: its public line, without a comment and a newline.
    """

    private: bytes
    public: str

    def write(self, path: Path) -> None:
        """Create the file ``path`` with mode 0600.

        Raises:
            InfraError: it exists, or cannot be written.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)  # whatever the umask
                file.write(self.private)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise host_error(error) from error


def make_key() -> KeyPair:
    """Return a new key."""
    return _pair(Ed25519PrivateKey.generate())


def read_key(path: Path) -> KeyPair:
    """Read a key that only its owner can read.

    Raises:
        InfraError: there is none, others can read it, or it is no Ed25519 key without a passphrase.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            content = file.read(_MOST_BYTES) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise _unusable(path, error.strerror or "unknown error") from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & _CLOSED_TO_OTHERS:
        raise InfraError(
            f"key {path} can be used by others (mode {mode:04o})",
            remedy=f"close it to them: chmod 600 {path}",
        )
    try:
        key = load_ssh_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path, "no OpenSSH key without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "not an Ed25519 key")
    return _pair(key)


def _pair(key: Ed25519PrivateKey) -> KeyPair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private, public.decode("ascii"))


def _unusable(path: Path, why: str) -> InfraError:
    return InfraError(
        f"cannot use the key {path}: {why}",
        remedy=f"make one: ssh-keygen -t ed25519 -N '' -f {path}",
    )
