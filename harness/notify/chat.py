"""Sends digests to chats, through apprise."""

from __future__ import annotations

import io
import logging
from typing import Any, Final

#: Characters of a message, which fit into each of apprise's services.
_MOST: Final = 1500


def send_chat(url: str, title: str, body: str) -> str:
    """Send a message to one chat; return why it failed, empty if it was sent.

    The answer may contain the URL, and so the secret.

    Args:
        url: a URL of apprise.
        title: the first line.
        body: the text, which is cut if it is long.
    """
    import apprise

    chat = apprise.Apprise()
    capture: Any = apprise.LogCapture  # without annotations
    with capture(level=logging.WARNING, fmt="%(message)s") as log:
        if not chat.add(url):
            return "its URL is none of apprise's"
        text = body if len(body) <= _MOST else body[: _MOST - 1] + "…"
        if chat.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT):
            return ""
        said = log.getvalue() if isinstance(log, io.StringIO) else ""
    return " ".join(said.split())[:300] or "the service refused it"
