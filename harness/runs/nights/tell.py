"""Tells the news of nights: composes messages, and sends what the outbox holds."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from harness.errors import InfraError
from harness.history.outbox import Message, MessageState, Outbox, QueuedMessage
from harness.nightly.night import NewsKind
from harness.notify.chat import send_chat
from harness.notify.digest import Digest, author_digest, late_digest, night_digest
from harness.notify.mail import author_address, mail_of
from harness.notify.secrets import read_secret, without_secrets
from harness.notify.smtp import Refused, mail_server, send_mail

if TYPE_CHECKING:
    import smtplib
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from harness.host.clock import Clock
    from harness.nightly.night import JudgedNight, News
    from harness.nightly.plan import NightlyPlan
    from harness.nightly.tellplan import ChatPlan, TellPlan
    from harness.runs.environment import Environment

DIGEST: Final = "digest"
AUTHOR: Final = "author"
LATE: Final = "late"

#: What the recipients that are chats begin with; no mail address contains a space.
_CHAT: Final = "chat "

#: Authors that are written to in a night.
_AUTHORS: Final = 5


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an outbox.

    Args:
        sent: recipients, one for each message that was sent.
        delayed: messages that were not sent, and stay in the outbox.
        uncertain: messages that may have been sent by a process that was killed.
        interrupted: those of them that this call has found.
    """

    sent: tuple[str, ...] = ()
    delayed: tuple[QueuedMessage, ...] = ()
    uncertain: tuple[QueuedMessage, ...] = ()
    interrupted: tuple[QueuedMessage, ...] = ()


def messages_of(plan: NightlyPlan, judged: JudgedNight) -> tuple[Message, ...]:
    """Return the messages of a night; none without news."""
    if plan.tell is None or not judged.news:
        return ()
    tell = plan.tell
    digest = night_digest(judged, tell.page)
    written = judged.night.ended or judged.night.started
    key = f"night {judged.night.number}"
    found = _to_all(plan.name, tell, digest, written, DIGEST, key)
    for address, news in _authors(tell, judged).items():
        own = author_digest(judged, news, tell.page)
        mail = mail_of(own, plan.name, tell.sender or "", address, written, f"{key} {AUTHOR}")
        found.append(Message(AUTHOR, address, mail))
    return tuple(found)


def queue_late(plan: NightlyPlan, outbox: Outbox, text: str, written: datetime, last: int) -> None:
    """Store the message that a night is missing, once for each last night.

    Args:
        plan: the plan.
        outbox: its outbox.
        text: what is missing, in a sentence.
        written: the present.
        last: the last night; 0 if none ran, of which nothing can be stored.

    Raises:
        InfraError: the history cannot be written.
    """
    if plan.tell is None or not last:
        return
    digest = late_digest(plan.name, text)
    for message in _to_all(plan.name, plan.tell, digest, written, LATE, f"late {last}"):
        outbox.add(last, message, written)


def _to_all(
    plan: str, tell: TellPlan, digest: Digest, written: datetime, kind: str, key: str
) -> list[Message]:
    """Return a message for each address and chat of a plan."""
    found = [
        Message(kind, address, mail_of(digest, plan, tell.sender or "", address, written, key))
        for address in dict.fromkeys(tell.mail)
    ]
    text = msgspec.json.encode({"title": digest.subject, "body": digest.text})
    return found + [Message(kind, _recipient(chat), text) for chat in tell.chat]


def _authors(tell: TellPlan, judged: JudgedNight) -> Mapping[str, Sequence[News]]:
    """Return the authors of newly proven culprits whom the plan allows to write to."""
    authors = {each.commit: each.author for each in judged.night.revisions}
    found: dict[str, list[News]] = {}
    for news in judged.news:
        if news.kind is not NewsKind.CULPRIT or news.commit not in authors:
            continue
        address = author_address(authors[news.commit], tell.authors)
        if address is not None and address not in tell.mail:
            found.setdefault(address, []).append(news)
    return dict(list(found.items())[:_AUTHORS])


def deliver(
    plan: NightlyPlan, directory: Path, outbox: Outbox, env: Environment, *, again: bool = False
) -> Delivery:
    """Send what the outbox holds, the oldest first; what cannot be sent stays there.

    Args:
        plan: the plan.
        directory: the plan's directory, which files of secrets are relative to.
        outbox: its outbox.
        env: the host.
        again: also send what may have been sent by a process that was killed.

    Raises:
        InfraError: the history cannot be read or written.
    """
    if plan.tell is None:
        return Delivery()
    lock = f"tell-{plan.name}"
    with (
        env.workspace.lock(lock),
        outbox.database.lock(lock, f"sends the news of the plan {plan.name}"),
    ):
        interrupted = {each.id for each in outbox.messages(MessageState.SENDING)}
        for each in outbox.messages(MessageState.SENDING):
            outbox.change(each, MessageState.UNCERTAIN, "the process was killed while it was sent")
        states = [MessageState.WAITING, *([MessageState.UNCERTAIN] if again else [])]
        with ExitStack() as stack:
            sending = _Sending(plan.tell, directory, outbox, env.clock, stack)
            for queued in _named(plan.tell, outbox.messages(*states)):
                sending.send(queued)
        waiting, uncertain = (
            _named(plan.tell, outbox.messages(state))
            for state in (MessageState.WAITING, MessageState.UNCERTAIN)
        )
        found = tuple(each for each in uncertain if each.id in interrupted)
        return Delivery(tuple(sending.sent), waiting, uncertain, found)


def _named(tell: TellPlan, messages: Sequence[QueuedMessage]) -> tuple[QueuedMessage, ...]:
    """Return the messages to those whom the plan still names."""
    everybody = {*tell.mail, *(_recipient(chat) for chat in tell.chat)}
    return tuple(
        each
        for each in messages
        if each.message.recipient in everybody
        or (each.message.kind == AUTHOR and author_address(each.message.recipient, tell.authors))
    )


def _recipient(chat: ChatPlan) -> str:
    return f"{_CHAT}{chat.name}"


@dataclass(slots=True)
class _Sending:
    """Sends messages of one plan, over one connection to its mail server."""

    tell: TellPlan
    directory: Path
    outbox: Outbox
    clock: Clock
    stack: ExitStack
    sent: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    server: smtplib.SMTP | None = None
    unreachable: str = ""

    def send(self, queued: QueuedMessage) -> None:
        """Send one message, and store what became of it."""
        recipient = queued.message.recipient
        try:
            if recipient.startswith(_CHAT):
                self._send_chat(queued)
            else:
                self._send_mail(queued)
        except (InfraError, Refused) as error:
            words = error.message if isinstance(error, InfraError) else str(error)
            problem = without_secrets(words, self.secrets)
            self.outbox.change(queued, MessageState.WAITING, problem)
            return
        self.outbox.change(queued, MessageState.SENT, sent=self.clock.now())
        self.sent.append(recipient)

    def _send_mail(self, queued: QueuedMessage) -> None:
        """Send a mail.

        Raises:
            Refused: the server refuses it.
            InfraError: there is no server.
        """
        server = self._connected()
        try:
            send_mail(
                server, self.tell.sender or "", queued.message.recipient, queued.message.data,
                lambda: self.outbox.change(queued, MessageState.SENDING),
            )  # fmt: skip
        except Refused:
            if server.sock is None:
                self.server = None  # the next mail gets a new connection
            raise
        except InfraError as error:
            self.unreachable = error.message
            raise

    def _connected(self) -> smtplib.SMTP:
        if self.unreachable:
            raise InfraError(self.unreachable)
        if self.server is None:
            try:
                self.server = self.stack.enter_context(self._new_server())
            except InfraError as error:
                self.unreachable = error.message
                raise
        return self.server

    def _new_server(self) -> AbstractContextManager[smtplib.SMTP]:
        smtp, password = self.tell.smtp, None
        if smtp.user is not None:
            password = self._secret(smtp.password_file, smtp.password_env)
        if smtp.ca is not None:
            ca = str(self.directory / Path(smtp.ca).expanduser())
            smtp = msgspec.structs.replace(smtp, ca=ca)
        return mail_server(smtp, password)

    def _send_chat(self, queued: QueuedMessage) -> None:
        recipient = queued.message.recipient
        chat = next(each for each in self.tell.chat if _recipient(each) == recipient)
        url = self._secret(chat.url_file, chat.url_env)
        text = msgspec.json.decode(queued.message.data)
        self.outbox.change(queued, MessageState.SENDING)
        problem = send_chat(url, text["title"], text["body"])
        if problem:
            raise Refused(problem)

    def _secret(self, file: str | None, variable: str | None) -> str:
        secret = read_secret(file, variable, self.directory, os.environ)
        self.secrets.add(secret)
        return secret


def delivery_lines(delivery: Delivery, plan: str, *, again: bool = True) -> Iterator[str]:
    """Return sentences about what was not sent.

    Args:
        delivery: what became of the outbox.
        plan: file of the plan.
        again: also about what may have arrived, and was reported before.
    """
    for each in delivery.delayed:
        yield (
            f"the news of night {each.night} for {each.message.recipient} is delayed: "
            f"{each.error}; it is sent with the next night, or by: harness nightly tell {plan}"
        )
    for each in delivery.uncertain if again else delivery.interrupted:
        yield (
            f"the news of night {each.night} for {each.message.recipient} may have arrived: "
            f"{each.error}; to send it again: harness nightly tell {plan} --again"
        )
