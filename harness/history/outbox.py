"""The outbox: messages of nights that are to be sent, or were.

A message is stored in the transaction that ends its night, so that none is lost. It is marked
before a server takes it and after, each time in a transaction. If the process is killed in between,
nobody knows whether it arrived: it is not sent again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, insert, select, update

from harness.history.schema import NightRow, OutboxRow, PlanRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.history.database import Database


class MessageState(StrEnum):
    """The state of a message."""

    WAITING = "waiting"
    SENDING = "sending"
    """a server was about to take it"""
    SENT = "sent"
    UNCERTAIN = "uncertain"
    """the process was killed while a server took it; it may have arrived"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for one recipient.

    Args:
        kind: what it is; a recipient gets one of each kind in a night.
        recipient: a mail address, or the name of a chat in the plan.
        data: a mail, or the text for a chat.
    """

    kind: str
    recipient: str
    data: bytes


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message in the outbox.

    Args:
        id: its number.
        night: the number of its night.
        state: its state.
        message: the message.
        attempts: how often it was not sent.
        error: why it was not sent.
    """

    id: int
    night: int
    state: MessageState
    message: Message
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of one plan.

    Args:
        database: the history.
        plan: name of the plan.
    """

    database: Database
    plan: str

    def messages(self, *states: MessageState) -> list[QueuedMessage]:
        """Return the messages in some states, the oldest first.

        Raises:
            InfraError: the history cannot be read.
        """
        wanted = (
            select(OutboxRow.__table__, NightRow.number)
            .join(NightRow, NightRow.id == OutboxRow.night_id)
            .join(PlanRow, PlanRow.id == NightRow.plan_id)
            .where(PlanRow.name == self.plan, OutboxRow.state.in_([each.value for each in states]))
            .order_by(OutboxRow.id)
        )
        with self.database.reading() as connection:
            return [_queued(dict(row._mapping)) for row in connection.execute(wanted)]

    def add(self, night: int, message: Message, created: datetime) -> bool:
        """Store a message of a night, unless its recipient has one of its kind; return whether.

        Raises:
            InfraError: the history cannot be written.
        """
        with self.database.writing() as connection:
            wanted = (
                select(NightRow.id)
                .join(PlanRow, PlanRow.id == NightRow.plan_id)
                .where(PlanRow.name == self.plan, NightRow.number == night)
            )
            row = connection.execute(wanted).scalar_one()
            return queue(connection, row, [message], created) > 0

    def change(
        self, queued: QueuedMessage, state: MessageState, error: str = "",
        sent: datetime | None = None,
    ) -> None:  # fmt: skip
        """Store a message's new state; an error counts as an attempt.

        Raises:
            InfraError: the history cannot be written.
        """
        values: dict[str, Any] = {"state": state.value, "error": error, "sent": sent}
        if error:
            values["attempts"] = OutboxRow.attempts + 1
        with self.database.writing() as connection:
            connection.execute(update(OutboxRow).where(OutboxRow.id == queued.id).values(**values))


def queue(
    connection: Connection, night: int, messages: Iterable[Message], created: datetime
) -> int:
    """Store messages that their recipients do not have yet; return their number.

    Args:
        connection: in a transaction.
        night: the night's row.
        messages: the messages.
        created: the present.
    """
    count = 0
    for each in messages:
        same = and_(
            OutboxRow.night_id == night,
            OutboxRow.kind == each.kind,
            OutboxRow.recipient == each.recipient,
        )
        if connection.execute(select(OutboxRow.id).where(same)).first() is None:
            values = {
                "night_id": night, "kind": each.kind, "recipient": each.recipient,
                "message": each.data, "created": created, "state": MessageState.WAITING.value,
                "attempts": 0, "error": "", "sent": None,
            }  # fmt: skip
            connection.execute(insert(OutboxRow).values(**values))
            count += 1
    return count


def _queued(row: dict[str, Any]) -> QueuedMessage:
    message = Message(row["kind"], row["recipient"], row["message"])
    state = MessageState(row["state"])
    return QueuedMessage(row["id"], row["number"], state, message, row["attempts"], row["error"])
