"""Digests as mails (RFC 5322) with the headers of automatic mail (RFC 2919, RFC 3834). Pure."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.notify.digest import Digest

#: Lines of any length are encoded, so that no server on the way breaks or refuses them.
_POLICY: Final = SMTP.clone(cte_type="7bit")

_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&*+/=?^_{|}~.-]+@[A-Za-z0-9.-]+")


def mail_of(
    digest: Digest, plan: str, sender: str, recipient: str, written: datetime, key: str
) -> bytes:
    """Return a mail with text and HTML.

    Args:
        digest: its content.
        plan: name of the plan: its mails are one thread.
        sender: the address that it comes from.
        recipient: the address that gets it.
        written: the time in ``Date:``.
        key: what makes the mail unique in its plan: two mails with one key have one Message-ID.
    """
    local, _, domain = sender.rpartition("@")
    mail = EmailMessage(_POLICY)
    name = f"harness nightly {plan}"
    mail["From"] = Address(name, local, domain)
    mail["To"] = recipient
    mail["Subject"] = digest.subject
    mail["Date"] = format_datetime(written)
    mail["Message-ID"] = message_id(plan, f"{key} {recipient} {written.isoformat()}", domain)
    root = message_id(plan, "thread", domain)
    mail["In-Reply-To"] = root
    mail["References"] = root
    mail["List-Id"] = f"{name} <{plan}.harness-nightly.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_encodable(digest.text))
    mail.add_alternative(_encodable(digest.html), subtype="html")
    return mail.as_bytes()


def message_id(plan: str, key: str, domain: str) -> str:
    """Return a Message-ID that is always the same for a key."""
    digest = hashlib.sha256(f"{plan}\0{key}".encode("utf-8", "replace")).hexdigest()
    return f"<harness.{plan}.{digest[:24]}@{domain}>"


def author_address(author: str, patterns: Sequence[str]) -> str | None:
    """Return the address of a commit's author, if the plan allows to write to it.

    Args:
        author: name and address, as the commit states them; they may contain anything.
        patterns: patterns of allowed addresses.
    """
    found = getaddresses([author])
    address = found[0][1] if len(found) == 1 else ""
    if not author.isprintable() or len(address) > 254 or not _ADDRESS.fullmatch(address):
        return None
    allowed = any(fnmatch.fnmatchcase(address.lower(), each.lower()) for each in patterns)
    return address if allowed else None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
