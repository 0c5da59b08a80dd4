"""Errors of a PostgreSQL server as the harness's: one sentence, and whose fault it is.

The server's codes are those of its manual's appendix "PostgreSQL Error Codes". libpq passes none on
for a connection that fails; those errors are recognised by their words, in English.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.errors import HarnessError, InfraError, UsageError

if TYPE_CHECKING:
    from harness.history.url import DatabaseUrl


@dataclass(frozen=True, slots=True)
class _Fault:
    """A fault of a server, or of how it was asked.

    Args:
        kind: the class of the error.
        why: the cause, in words; ``{text}`` is the server's, ``{database}`` and the like the URL's.
        remedy: the same.
    """

    kind: type[HarnessError]
    why: str
    remedy: str


_PASSFILE: Final = (
    "write HOST:PORT:DATABASE:USER:PASSWORD into a file with mode 0600, and name it in the URL: "
    "?passfile=/FILE"
)
_GO_ON: Final = "run it again when the server is back: what was recorded stays"

_BY_CODE: Final = {
    "28P01": _Fault(UsageError, "the password of {user} is missing or wrong", _PASSFILE),
    "28000": _Fault(UsageError, "the server refuses {user}: {text}",
                    "correct the role in the URL, or the server's pg_hba.conf"),
    "3D000": _Fault(UsageError, "there is no database {database} on the server",
                    "create it: createdb -E UTF8 -T template0 {database}"),
    "42501": _Fault(UsageError, "{user} lacks a right: {text}",
                    "use the owner's role; to make one: harness group init URL"),
    "25006": _Fault(UsageError, "the server is read-only", "name the primary server in the URL"),
    "53100": _Fault(InfraError, "the disk of the server is full", "free disk space on the server"),
    "53300": _Fault(InfraError, "the server has too many connections",
                    "wait, or raise max_connections of the server"),
    "55P03": _Fault(InfraError, "another process has been writing for more than a minute",
                    "end the process that writes the history, or wait for it"),
    "25P03": _Fault(InfraError, "this process was stopped for too long while it wrote", _GO_ON),
    "57P01": _Fault(InfraError, "the server was shut down", _GO_ON),
    "57P02": _Fault(InfraError, "the server crashed", _GO_ON),
    "57P03": _Fault(InfraError, "the server is starting or stopping", _GO_ON),
    "08006": _Fault(InfraError, "the connection was lost: {text}", _GO_ON),
    "08001": _Fault(InfraError, "{address} does not answer: {text}",
                    "start PostgreSQL there, or correct the URL"),
    "TLS00": _Fault(InfraError, "{address} is not verified: {text}",
                    "name the certificate of the server's authority: ?sslrootcert=/FILE"),
    "TLS01": _Fault(UsageError, "{text}",
                    "name the certificate of the server's authority: ?sslrootcert=/FILE"),
    "TLS02": _Fault(UsageError, "{address} does not use TLS",
                    "set ssl = on in the server's postgresql.conf, with a certificate"),
}  # fmt: skip

#: Codes of connections that fail, by words of libpq and of servers.
_BY_WORDS: Final = (
    (r"password authentication failed|no password supplied", "28P01"),
    (r'database ".*" does not exist', "3D000"),
    (r"permission denied for database", "42501"),
    (r'role ".*" does not exist|no pg_hba\.conf entry|authentication failed', "28000"),
    (r"database system is|not yet accepting connections", "57P03"),
    (r"too many clients|connection slots|too many connections", "53300"),
    (r"root certificate file .* does not exist|certificate file|private key file", "TLS01"),
    (r"does not support SSL", "TLS02"),
    (r"certificate|SSL error|SSL SYSCALL", "TLS00"),
    (r"terminating connection due to administrator command", "57P01"),
    (r"connection (is )?lost|closed unexpectedly|connection is closed|could not receive data|"
     r"consuming input failed|sending query", "08006"),
)  # fmt: skip

#: What another attempt may mend.
_PASSING: Final = frozenset({"53300", "57P01", "57P02", "57P03", "08001", "08006"})

#: What precedes the cause in libpq's message.
_PREFIX: Final = re.compile(
    r"^(connection failed: )?(connection to server (at|on socket) .*? failed: )?"
    r"(FATAL|ERROR):\s+|^(connection failed: )?connection to server (at|on socket) .*? failed: |"
    r"^connection failed: "
)


def code_of(text: str, state: str | None) -> str:
    """Return the code of an error.

    Args:
        text: its message.
        state: the server's code, if there is one.
    """
    if state in _BY_CODE or (state and state != "08000"):
        return state
    found = (code for words, code in _BY_WORDS if re.search(words, text))
    return next(found, "08001")


def may_pass(text: str, state: str | None) -> bool:
    """Return whether another attempt may succeed: the server restarts, or the network is down."""
    return code_of(text, state) in _PASSING


def server_error(doing: str, url: DatabaseUrl, text: str, state: str | None) -> HarnessError:
    """Return the error to raise for an error of a server.

    Args:
        doing: what was done: ``read``.
        url: the history.
        text: the error's message.
        state: the server's code, if there is one.
    """
    line = _cause(text)
    fault = _BY_CODE.get(code_of(text, state))
    if fault is None:
        return InfraError(f"cannot {doing} the history {url.label}: {line}", remedy="")
    words = {
        "text": line, "database": url.database, "address": url.address,
        "user": f"the role {url.user}" if url.user else "this user's role",
    }  # fmt: skip
    return fault.kind(
        f"cannot {doing} the history {url.label}: {fault.why.format(**words)}",
        remedy=fault.remedy.format(**words),
    )


def _cause(text: str) -> str:
    """Return the first line of a message without what precedes the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "FATAL:" in line or "failed: " in line]
    line = (named or lines or ["no reason given"])[0]
    return _PREFIX.sub("", line.lstrip("- ")).rstrip(".")
