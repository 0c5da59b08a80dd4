"""SSH servers of guests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SshAddress:
    """An SSH server, and what is known of it beforehand.

    Args:
        host: its IPv4 address.
        port: its TCP port.
        user: the account.
        host_key: the public line of its host key; a server with another is refused.
        key: the file of the account's private key, which only its owner can read.
    """

    host: str
    port: int
    user: str
    host_key: str
    key: Path

    @property
    def name(self) -> str:
        """The server in messages."""
        return f"{self.host}:{self.port}"
