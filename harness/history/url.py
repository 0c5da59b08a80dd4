"""Where a history is: the path of an SQLite file, or the URL of a PostgreSQL database."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from harness.errors import UsageError, did_you_mean

_SCHEMES: Final = ("postgresql", "postgres")
_PORT: Final = 5432

#: Parameters that name a file (libpq, "Parameter Key Words").
_FILES: Final = ("passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl")
_PARAMETERS: Final = (*_FILES, "sslmode", "host")

_VERIFIED: Final = "verify-full"

_EXAMPLE: Final = "postgresql://USER@HOST/DATABASE?passfile=/FILE&sslrootcert=/FILE"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The URL of a PostgreSQL database, in libpq's form; it never contains a password.

    Args:
        host: a name, an address, or the directory of a Unix socket; empty: libpq's default socket.
        port: the port.
        user: the role; empty: the user's own name.
        database: the database.
        parameters: libpq's parameters for TLS and the password's file, as pairs.
    """

    host: str
    port: int
    user: str
    database: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Return the URL of a text.

        Raises:
            UsageError: it is no such URL, contains a password, or would connect to another host
                without verifying the server's certificate.
        """
        try:
            split = urlsplit(text)
            port = split.port or _PORT
        except ValueError:
            raise UsageError(
                "the URL of the history has no valid host and port", remedy=f"write {_EXAMPLE}"
            ) from None
        if split.scheme not in _SCHEMES:
            raise UsageError(
                f"there is no database with URLs of the kind {split.scheme}://",
                remedy=f"write {_EXAMPLE}, or a file's path",
            )
        parameters = _parameters(split)
        database = unquote(split.path[1:])
        if not database or "/" in database or split.fragment:
            raise UsageError(
                "the URL of the history does not name one database", remedy=f"write {_EXAMPLE}"
            )
        host = unquote(split.hostname or parameters.pop("host", ""))
        url = cls(
            host, port, unquote(split.username or ""), database, tuple(parameters.items())
        )  # fmt: skip
        url._check_host()
        url._check_tls()
        return url

    @property
    def address(self) -> str:
        """The host with the port, for messages."""
        if not self.host or self.host.startswith("/"):
            return f"{self.host or 'the default socket'}, port {self.port}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether what is sent stays on this host."""
        if not self.host or self.host.startswith("/") or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def files(self) -> list[tuple[str, Path]]:
        """Return the files that parameters name, with the parameters' names."""
        return [
            (name, Path(value).expanduser())
            for name, value in self.parameters
            if name in _FILES and value != "system"
        ]

    def arguments(self) -> dict[str, str]:
        """Return libpq's parameters; what the URL leaves out is not taken from the environment."""
        files = {name: str(path) for name, path in self.files()}
        given = {**dict(self.parameters), **files}
        given.setdefault("sslmode", "prefer" if self.is_local else _VERIFIED)
        where = {"host": self.host, "hostaddr": "", "port": str(self.port), "dbname": self.database}
        return {**given, **where, **({"user": self.user} if self.user else {})}

    @property
    def label(self) -> str:
        """The URL without parameters, for messages."""
        host = "" if self.host.startswith("/") else self.host
        host = f"[{host}]" if ":" in host else host
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        port = "" if self.port == _PORT else f":{self.port}"
        return f"postgresql://{user}{host}{port}/{quote(self.database, safe='')}"

    def __str__(self) -> str:
        """Return the URL, which ``parse`` reads again."""
        named = [("host", self.host)] if self.host.startswith("/") else []
        query = "&".join(f"{name}={quote(value)}" for name, value in [*named, *self.parameters])
        return f"{self.label}?{query}" if query else self.label

    def _check_host(self) -> None:
        if "," in self.host or "\0" in f"{self.host}{self.user}{self.database}":
            raise UsageError(
                "the URL of the history does not name one host", remedy=f"write {_EXAMPLE}"
            )

    def _check_tls(self) -> None:
        mode = dict(self.parameters).get("sslmode", _VERIFIED)
        if mode != _VERIFIED and not self.is_local:
            raise UsageError(
                f"sslmode={mode} sends the history to {self.host} without verifying the server",
                remedy=f"leave sslmode out, which means {_VERIFIED}",
            )


HistoryLocation = Path | DatabaseUrl


def history_location(text: str, directory: Path = Path()) -> HistoryLocation:
    """Return where a history is.

    Args:
        text: a URL, or a path; ``~`` is the home directory.
        directory: what the path is relative to.

    Raises:
        UsageError: the URL is invalid.
    """
    return DatabaseUrl.parse(text) if "://" in text else directory / Path(text).expanduser()


def _parameters(split: SplitResult) -> dict[str, str]:
    """Return the parameters of a URL.

    Raises:
        UsageError: one is unknown, given twice, relative, or a password.
    """
    pairs = parse_qsl(split.query, keep_blank_values=True)
    if split.password is not None or any(name == "password" for name, _ in pairs):
        raise UsageError(
            "the URL of the history contains a password, which other users could read",
            remedy="write HOST:PORT:DATABASE:USER:PASSWORD into a file that only you can read, and "
            "name it: ?passfile=/FILE",
        )
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in _PARAMETERS or name in found:
            raise UsageError(
                f"the URL of the history has {'two' if name in found else 'an unknown'} "
                f"parameter{'s' if name in found else ''} {name}",
                remedy=f"{did_you_mean(name, _PARAMETERS)}there are {', '.join(_PARAMETERS)}",
            )
        if name in _FILES and not value.startswith(("/", "~/")) and value != "system":
            raise UsageError(
                f"{name}={value} in the URL of the history is not an absolute path",
                remedy=f"write {name}=/PATH",
            )
        found[name] = value
    return found
