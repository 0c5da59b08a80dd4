"""A real SMTP server on the loopback address that takes, refuses, hangs or dies."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "open sesame, please"


def parsed(data: bytes) -> EmailMessage:
    mail = message_from_bytes(data, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


@dataclass
class Mailbox:
    """What a server took, and how it behaves.

    Attributes:
        mails: the mails by recipient, as they came.
        at_recipient, at_data: called for each; they return an answer in place of the usual one.
        logins: names and passwords that were sent.
    """

    mails: list[tuple[str, bytes]] = field(default_factory=list)
    at_recipient: Callable[[str], str | None] = lambda _: None
    at_data: Callable[[SMTP], str | None] = lambda _: None
    hang: bool = False
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        del server, session
        answer = self.at_recipient(address)
        if answer is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del session
        if self.hang:
            await asyncio.sleep(3600)
        answer = self.at_data(server)
        if answer is not None:
            return answer
        assert isinstance(envelope.content, bytes)
        self.mails += [(address, envelope.content) for address in envelope.rcpt_tos]
        return "250 OK"

    def authenticate(self, *words: object) -> AuthResult:
        data = words[-1]
        name, password = data.login.decode(), data.password.decode()  # type: ignore[attr-defined]
        self.logins.append((name, password))
        return AuthResult(success=password == PASSWORD, handled=False)


class _Controller(Controller):
    """Closes the loop's sockets, which aiosmtpd leaves to the garbage collector."""

    def factory(self) -> SMTP:
        return SMTP(self.handler, **self.SMTP_kwargs)


@contextmanager
def mail_server(box: Mailbox, certificate: Path | None = None, **more: object) -> Iterator[int]:
    """Yield the port of a server; with a certificate, it requires STARTTLS and a login."""
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        more |= {
            "tls_context": context, "require_starttls": True, "auth_required": True,
            "authenticator": box.authenticate,
        }  # fmt: skip
    controller = _Controller(box, hostname="127.0.0.1", port=free_port(), **more)  # type: ignore[arg-type]
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def certificate(directory: Path, address: str = "127.0.0.1") -> Path:
    """Write a certificate of an address and its key into one file, and return it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
