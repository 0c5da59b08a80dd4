"""Sends mails to one SMTP server."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.nightly.plan import seconds_of

if TYPE_CHECKING:
    from harness.nightly.tellplan import SmtpPlan

#: Characters of a server's answer that are kept.
_ANSWER: Final = 300


class Refused(Exception):  # noqa: N818 - the server answered; another mail may be taken
    """The server refused one mail; it may take others."""


@contextlib.contextmanager
def mail_server(plan: SmtpPlan, password: str | None) -> Iterator[smtplib.SMTP]:
    """Yield a connection to the plan's server, encrypted and logged in as the plan says.

    Raises:
        InfraError: the server cannot be reached, its certificate is not trusted, or it refuses the
            login.
    """
    where = f"the mail server {plan.host}:{plan.number}"
    timeout = seconds_of(plan.timeout)
    server: smtplib.SMTP | None = None
    try:
        if plan.security == "tls":
            server = smtplib.SMTP_SSL(plan.host, plan.number, timeout=timeout, context=_tls(plan))
        else:
            server = smtplib.SMTP(plan.host, plan.number, timeout=timeout)
        if plan.security == "starttls":
            server.starttls(context=_tls(plan))
        server.ehlo_or_helo_if_needed()
        if plan.user is not None:
            server.login(plan.user, password or "")
    except (OSError, smtplib.SMTPException, ValueError) as error:
        if server is not None:
            server.close()
        raise InfraError(
            f"cannot use {where}: {_words(error)}", remedy="check [tell.smtp] of the plan"
        ) from error
    try:
        yield server
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.quit()
        server.close()


def send_mail(
    server: smtplib.SMTP, sender: str, recipient: str, mail: bytes, before: Callable[[], None]
) -> None:
    """Send one mail.

    Args:
        server: a connection of ``mail_server``.
        sender: the address that gets what cannot be delivered.
        recipient: the address that gets it.
        mail: the mail.
        before: called after the server has accepted the addresses, before the mail is sent.

    Raises:
        Refused: the server refuses this mail.
        InfraError: the connection is lost.
    """
    try:
        for code, answer in (server.mail(sender), server.rcpt(recipient)):
            _require(server, code, answer)
        before()
        _require(server, *server.data(mail))
    except smtplib.SMTPResponseException as error:  # an answer to DATA
        server.close()
        raise Refused(_answer(error.smtp_code, error.smtp_error)) from error
    except (OSError, smtplib.SMTPException) as error:
        server.close()
        raise InfraError(f"the connection to the mail server was lost: {_words(error)}") from error


def _require(server: smtplib.SMTP, code: int, answer: bytes) -> None:
    if code not in (250, 251, 252):
        if code == 421:  # it closes the connection
            raise smtplib.SMTPServerDisconnected(_answer(code, answer))
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.rset()
        raise Refused(_answer(code, answer))


def _tls(plan: SmtpPlan) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=plan.ca)


def _answer(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(text.split())}"[:_ANSWER]


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _answer(error.smtp_code, error.smtp_error)
    return " ".join(str(error).split())[:_ANSWER] or type(error).__name__
