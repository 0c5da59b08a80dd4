"""What went wrong with an SSH server, in words. Pure."""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import re
from typing import Final

import paramiko

from harness.errors import InfraError, cause_of
from harness.shell.shell import ShellDataError, ShellError, ShellLostError, ShellRefusedError
from harness.shell.ssh.keys import KEY_TYPE

MOST_BANNER: Final = 16384
"""Most bytes that a server may send before its version line (RFC 4253, 4.2)."""

_VERSION: Final = re.compile(rb"^SSH-[^\n]{0,253}\n", re.MULTILINE)
_QUOTED: Final = 80


def version_offset(text: bytes) -> int | None:
    """Return where a server's version line begins; None before it is complete."""
    found = _VERSION.search(text)
    return None if found is None else found.start()


def not_ssh(name: str, text: bytes) -> ShellError:
    """Return the error for a server that sends something else than SSH."""
    return ShellRefusedError(f"{name} is no SSH server: it sent {_quoted(text)}")


def closed_before_version(name: str, text: bytes) -> ShellError:
    """Return the error for a connection that ended before the version line."""
    said = f" after it had sent {_quoted(text)}" if text else ""
    return ShellLostError(
        f"{name} closed the connection before its SSH version{said}: its server does not run"
    )


def _quoted(text: bytes) -> str:
    rest = " …" if len(text) > _QUOTED else ""
    return ascii(text[:_QUOTED].decode("utf-8", "replace")) + rest


def host_key_blob(line: str) -> bytes:
    """Return the key in a public line.

    Raises:
        InfraError: it is no Ed25519 key.
    """
    words = line.split()
    if len(words) >= 2 and words[0] == KEY_TYPE:
        try:
            return base64.b64decode(words[1], validate=True)
        except binascii.Error:
            pass
    raise InfraError(
        f"the known host key {line!r} is no {KEY_TYPE} key",
        remedy="it is the first two words of a line of /etc/ssh/ssh_host_ed25519_key.pub",
    )


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a public key, as ssh-keygen(1) prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def require_host_key(found: bytes, expected: bytes, name: str) -> None:
    """Check that a server has the known host key.

    Raises:
        ShellRefusedError: it has another.
    """
    if found != expected:
        raise ShellRefusedError(
            f"{name} has the host key {fingerprint(found)}, not {fingerprint(expected)}: "
            "it is not the server that was started"
        )


def translated(doing: str, name: str, error: Exception | None, *, alive: bool) -> ShellError:
    """Return the error for an exception of paramiko's.

    Args:
        doing: what was asked of the server, after "cannot".
        name: the server's name.
        error: the exception.
        alive: whether the connection stands.
    """
    kind: type[ShellError] = ShellLostError
    why = "closed the connection" + ("" if error is None else f": {error}")
    match error:
        case paramiko.ChannelException():
            kind, why = ShellRefusedError, f"refuses: {error.text}"
        case paramiko.ssh_exception.IncompatiblePeer():
            kind, why = ShellRefusedError, f"has no algorithm in common: {error}"
        case paramiko.AuthenticationException() if "saw EOF" not in str(error):
            kind, why = ShellRefusedError, "refuses the key"
        case OSError(errno=errno.ECONNREFUSED):
            why = "has no server: the guest has ended, or has no network"
        case EOFError():
            why = "closed the connection"
        case paramiko.SSHException() | OSError() if alive:
            kind, why = ShellRefusedError, f"refuses: {cause_of(error)}"
        case Exception() if alive:
            kind, why = ShellDataError, f"sent an invalid answer: {error}"
    return kind(f"cannot {doing}: {name} {why}")
