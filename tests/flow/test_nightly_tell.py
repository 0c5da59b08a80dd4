"""``harness nightly tell`` and ``status --tell`` on the history of fake nights."""

from __future__ import annotations

import json

import pytest
from command import Home, Said
from fake_nights import Fault, Nights
from inprocess import call
from mail_server import Mailbox, free_port, mail_server

TELL = """
[tell]
mail = ["me@example.org"]
sender = "night@example.net"
[[tell.chat]]
name = "ops"
url_env = "OPS_CHAT"
[tell.smtp]
host = "127.0.0.1"
port = {port}
"""


@pytest.fixture
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    table = TELL.format(port=free_port())
    found = Nights(tmp_path_factory.mktemp("t"), keys='history = "made.sqlite"', cells=table)
    found.commit(Fault("no ideas\u202e left \x1b[2J", 0, nodes=(4,)))
    found.night()
    return found


def test_what_could_not_be_sent_is_printed_and_sent_later(
    shared_home: Home, nights: Nights
) -> None:
    def said(*words: str) -> Said:
        return call(shared_home, "nightly", *words, nights.directory / "nightly.toml")

    dry = said("tell", "--dry-run")
    assert dry.code == 0
    assert "To: me@example.org" in dry.stdout
    assert "chat ops: [made] One new regression" in dry.stdout
    assert "\x1b" not in dry.stdout
    down = said("tell")
    assert down.code == 3
    assert "Connection refused" in down.stderr
    assert "OPS_CHAT" in down.stderr
    box = Mailbox()
    with mail_server(box) as port:
        nights.cells = TELL.format(port=port).replace(
            '[[tell.chat]]\nname = "ops"\nurl_env = "OPS_CHAT"\n', ""
        )
        nights.write_plan()
        sent = said("tell", "--json")
        assert (sent.code, json.loads(sent.stdout)["sent"]) == (0, ["me@example.org"])
        assert "nothing is to be sent" in said("tell").stdout
        assert said("status", "--tell").code in (0, 3)  # the fake nights have a clock of their own
    nights.cells = ""
    nights.write_plan()
    refused = said("tell")
    assert refused.code == 2
    assert "no table [tell]" in refused.stderr
