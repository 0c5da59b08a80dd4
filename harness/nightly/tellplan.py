"""``[tell]`` of a plan: who gets the news of a night, by mail and in chats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec

from harness.host.tables import Complaint, Table

Address = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z0-9!#$%&*+/=?^_{|}~.-]+@[A-Za-z0-9.-]+$", max_length=254),
]
"""A mail address without a name, in ASCII."""
_ChatName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]
_Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?[smhd]$")]

_PORTS: Final = {"none": 25, "starttls": 587, "tls": 465}

#: Hosts to which a password may be sent without TLS.
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class SmtpPlan(Table, frozen=True, kw_only=True):
    """``[tell.smtp]``: the server that takes the mail."""

    host: str = "localhost"
    """Its name or address."""
    security: Literal["none", "starttls", "tls"] = "none"
    """How the connection is encrypted; the server's certificate is verified."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """Default: 25, with ``starttls`` 587, with ``tls`` 465."""
    ca: str | None = None
    """File of certificates that the server's must be signed with; default: those of the host."""
    user: str | None = None
    """Name to log in with."""
    password_file: str | None = None
    """File with the password, which only its owner may read."""
    password_env: str | None = None
    """Variable of the environment with the password."""
    timeout: _Duration = "30s"
    """How long to wait for each answer."""

    @property
    def number(self) -> int:
        """The port."""
        return self.port or _PORTS[self.security]


class ChatPlan(Table, frozen=True, kw_only=True):
    """``[[tell.chat]]``: a chat, by a URL of apprise, which contains the secret."""

    name: _ChatName
    """Its name in messages."""
    url_file: str | None = None
    """File with the URL, which only its owner may read."""
    url_env: str | None = None
    """Variable of the environment with the URL."""


class TellPlan(Table, frozen=True, kw_only=True):
    """``[tell]``: who gets the news."""

    mail: tuple[Address, ...] = ()
    """Addresses that get a digest of each night with news."""
    sender: Address | None = None
    """The address in ``From:``; needed for mail."""
    page: str | None = None
    """URL of the directory of the plan's pages, for the links in the digest."""
    authors: tuple[str, ...] = ()
    """Patterns of addresses, such as ``*@example.org``: authors whose commit was proven to break
    something get a mail if their address matches; default: no author is written to."""
    smtp: SmtpPlan = SmtpPlan()
    chat: tuple[ChatPlan, ...] = ()


def check_tell(tell: TellPlan) -> None:
    """Check what one key says of another.

    Raises:
        Complaint: a key is wrong.
    """
    for key, what in _complaints(tell):
        raise Complaint(key, what)


def _complaints(tell: TellPlan) -> Iterator[tuple[str, str]]:
    if not (tell.mail or tell.chat or tell.authors):
        yield "tell", "it names nobody: add mail, authors or [[tell.chat]]"
    if (tell.mail or tell.authors) and tell.sender is None:
        yield "tell.sender", "mail needs the address that it comes from"
    if tell.page is not None and not tell.page.startswith(("http://", "https://")):
        yield "tell.page", "it must be a URL that begins with https:// or http://"
    yield from _complaints_of_smtp(tell.smtp)
    names = [chat.name for chat in tell.chat]
    for number, chat in enumerate(tell.chat):
        if not _one(chat.url_file, chat.url_env):
            yield f"tell.chat[{number}]", "it needs either url_file or url_env"
        if names.index(chat.name) != number:
            yield f"tell.chat[{number}].name", f"two chats are named {chat.name!r}"


def _complaints_of_smtp(smtp: SmtpPlan) -> Iterator[tuple[str, str]]:
    if smtp.user is None and (smtp.password_file or smtp.password_env):
        yield "tell.smtp.user", "a password needs the name to log in with"
    if smtp.user is not None:
        if not _one(smtp.password_file, smtp.password_env):
            yield "tell.smtp.user", "it needs either password_file or password_env"
        if smtp.security == "none" and smtp.host not in _LOOPBACK:
            yield "tell.smtp.security", "a password is sent only encrypted: starttls or tls"


def _one(file: str | None, variable: str | None) -> bool:
    return (file is None) != (variable is None)
