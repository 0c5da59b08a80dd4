"""``harness nightly tell``: sends the news of nights."""

from __future__ import annotations

import email
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.nightlyplan import night_request, plan_options
from harness.cli.options import common_options
from harness.errors import InfraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.cli.app import App
    from harness.history.outbox import Message
    from harness.history.url import HistoryLocation
    from harness.runs.nights.openplan import OpenPlan


@click.command()
@plan_options
@click.option("--night", type=click.IntRange(min=1), metavar="N",
              help="The night that --dry-run prints; default: the newest.")  # fmt: skip
@click.option("--again", is_flag=True,
              help="Also send what may have arrived before the harness was killed.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the messages of a night, and send nothing.")
@common_options
def tell(
    app: App,
    plan: Path,
    history: HistoryLocation | None,
    night: int | None,
    *,
    again: bool,
    dry_run: bool,
) -> int:
    """Send the news of nights that could not be sent before; 'run' sends its own.

    Exit code: 3 if a message could not be sent; it stays in the outbox.

    \b
    Examples:
      harness nightly tell --dry-run
      harness nightly tell stable.toml --again
    """
    request = night_request(plan, history)
    from harness.runs.nights.openplan import open_plan

    opened = open_plan(request, app)
    if opened.plan.tell is None:
        raise UsageError(f"{plan} has no table [tell]", remedy="name recipients: [tell] mail = […]")
    if dry_run:
        return _print(app, opened, night)
    if night is not None:
        raise UsageError("--night is for --dry-run", remedy="add --dry-run, or leave out --night")
    from harness.runs.nights.tell import deliver, delivery_lines

    delivery = deliver(opened.plan, plan.resolve().parent, opened.outbox, app, again=again)
    for recipient in delivery.sent:
        app.paper.print(f"sent to {recipient}", markup=False, soft_wrap=True)
    for line in delivery_lines(delivery, str(plan)):
        app.warn(line)
    if not (delivery.sent or delivery.delayed or delivery.uncertain):
        app.paper.print("nothing is to be sent", markup=False)
    app.emit(
        {
            "sent": list(delivery.sent),
            "delayed": [each.message.recipient for each in delivery.delayed],
            "uncertain": [each.message.recipient for each in delivery.uncertain],
        }
    )
    return InfraError.exit_code if delivery.delayed else 0


def _print(app: App, opened: OpenPlan, night: int | None) -> int:
    """Print the messages of a night."""
    from harness.runs.nights.tell import messages_of

    judged = opened.reader.judged_night(night)
    messages = messages_of(opened.plan, judged)
    if not messages:
        words = f"night {judged.night.number} has no news: nothing is sent"
        app.paper.print(words, markup=False)
    for message in messages:
        for line in message_lines(message):
            app.paper.print(line, markup=False, soft_wrap=True, highlight=False)
    app.emit(
        {
            "night": judged.night.number,
            "messages": [
                {"kind": each.kind, "recipient": each.recipient,
                 "text": each.data.decode("utf-8", "replace")}
                for each in messages
            ],
        }
    )  # fmt: skip
    return 0


def message_lines(message: Message) -> Iterator[str]:
    """Return the lines of a message: of a mail, the headers and the plain text."""
    import msgspec

    if message.recipient.startswith("chat "):
        text = msgspec.json.decode(message.data)
        yield f"{message.recipient}: {text['title']}"
        yield from text["body"].splitlines()
        return
    mail = email.message_from_bytes(message.data, policy=default)
    yield from (f"{name}: {value}" for name, value in mail.items())
    yield ""
    body = mail.get_body(("plain",))
    yield from str(body.get_content() if body is not None else "").splitlines()
    yield ""
