"""News of nights by mail and chat: what is sent, when, once, and never lost; on real servers."""

from __future__ import annotations

import asyncio
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP
from fake_nights import Fault, Nights
from mail_server import PASSWORD, Mailbox, certificate, free_port, mail_server, parsed
from small_tree import git

from harness.history.database import Database
from harness.history.outbox import MessageState, Outbox
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.runs.environment import Environment
from harness.runs.nights.night import tell_night
from harness.runs.nights.openplan import NightRequest, open_plan
from harness.runs.nights.status import night_status
from harness.runs.nights.tell import queue_late

TELL = """
[tell]
mail = [{mail}]
sender = "night@example.net"
page = "https://ci.example.org/made/"
{more}
[tell.smtp]
host = "127.0.0.1"
port = {port}
timeout = "{timeout}"
{smtp}
"""
CHAT = '\n[[tell.chat]]\nname = "ops"\nurl_env = "OPS_CHAT"\n'
BOTH = ("one@example.org", "two@example.org")


def tell(
    port: int, *, mail: tuple[str, ...] = BOTH, more: str = "", smtp: str = "",
    timeout: str = "20s",
) -> str:  # fmt: skip
    quoted = ", ".join(f'"{each}"' for each in mail)
    return TELL.format(mail=quoted, port=port, more=more, smtp=smtp, timeout=timeout)


@dataclass
class Told:
    """A plan with its history, without its tree."""

    directory: Path

    @property
    def outbox(self) -> Outbox:
        path = self.directory / "state" / "nightly" / "made.sqlite"
        return Outbox(Database.open(path), "made")

    def errors(self, state: MessageState = MessageState.WAITING) -> dict[str, str]:
        """Return the errors of messages by their recipients."""
        return {each.message.recipient: each.error for each in self.outbox.messages(state)}

    def write_plan(self, table: str) -> None:
        plan = self.directory / "nightly.toml"
        plan.write_text(plan.read_text().partition("[tell]")[0] + table.strip())

    def send(self) -> list[str]:
        workspace = Workspace(
            self.directory / "cache", self.directory / "state", self.directory / "run"
        )
        env = Environment(workspace=workspace, runner=HostRunner(), clock=HostClock())
        request = NightRequest(self.directory / "nightly.toml")
        return tell_night(open_plan(request, env), request.plan, env)


@pytest.fixture(scope="module")
def undelivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night with news, which no server took."""
    directory = tmp_path_factory.mktemp("told")
    nights = Nights(directory, cells=tell(free_port()) + CHAT)
    nights.commit(Fault("no ideas left", 0, nodes=(4,)))
    nights.night()
    assert set(Told(directory).errors()) == {*BOTH, "chat ops"}
    assert "Connection refused" in Told(directory).errors()[BOTH[0]]
    return directory


@pytest.fixture
def told(undelivered: Path, tmp_path: Path) -> Told:
    return Told(shutil.copytree(undelivered, tmp_path / "told", symlinks=True))


def nights_pages(nights: Nights) -> list[Path]:
    return sorted((nights.directory / "pages").rglob("*.html"))


def test_a_night_with_news_is_one_mail_to_each_and_a_night_without_is_none(
    tmp_path: Path,
) -> None:
    box = Mailbox()
    with mail_server(box) as port:
        nights = Nights(tmp_path, keys='pages = "pages"', cells=tell(port))
        nights.night()
        nights.commit(Fault("no ideas left", 0, nodes=(4,)))
        assert box.mails == []
        nights.night()
        assert [address for address, _ in box.mails] == ["one@example.org", "two@example.org"]
        nights.commit()
        nights.night()
        assert len(box.mails) == 2
        nights.mend("no ideas left")
        nights.night()
        assert len(box.mails) == 4
    first, _, last, _ = (parsed(data) for _, data in box.mails)
    assert first["Subject"].startswith("[made] One new regression in three cells, since ")
    assert first["From"].addresses[0].addr_spec == "night@example.net"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["List-Id"] == "harness nightly made <made.harness-nightly.example.net>"
    assert first["Message-ID"] != last["Message-ID"]
    assert first["References"] == last["References"] == first["In-Reply-To"]
    body = first.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert nights.commits[1][:12] in text
    (problem,) = (each for each in nights_pages(nights) if each.parent.name == "problems")
    assert f"https://ci.example.org/made/problems/{problem.name}" in text
    assert "https://ci.example.org/made/nights/2/index.html" in text
    assert (tmp_path / "pages" / "nights" / "2" / "index.html").exists()
    html = first.get_body(("html",))
    assert html is not None
    assert "no ideas left" in html.get_content()


def test_a_server_that_is_down_delays_and_does_not_lose(told: Told) -> None:
    (one, two, _) = told.send()
    assert "one@example.org is delayed" in one
    assert "Connection refused" in two
    box = Mailbox()
    with mail_server(box) as port:
        told.write_plan(tell(port))
        assert told.send() == []
        assert [address for address, _ in box.mails] == list(BOTH)
        assert told.send() == []
        assert len(box.mails) == 2


def test_one_refused_recipient_does_not_keep_the_other_from_its_mail(told: Told) -> None:
    box = Mailbox(at_recipient=lambda to: "550 no such user" if to.startswith("one") else None)
    with mail_server(box) as port:
        told.write_plan(tell(port))
        (line,) = told.send()
        assert "550 no such user" in line
        assert [address for address, _ in box.mails] == ["two@example.org"]
        box.at_recipient = lambda _: None
        assert told.send() == []
        assert [address for address, _ in box.mails] == ["two@example.org", "one@example.org"]


def test_a_server_that_refuses_the_content_delays(told: Told) -> None:
    box = Mailbox(at_data=lambda _: "451 not now")
    with mail_server(box) as port:
        told.write_plan(tell(port))
        told.send()
        assert told.errors()[BOTH[1]] == "451 not now"
        box.at_data = lambda _: None
        assert told.send() == []
        assert len(box.mails) == 2


def test_a_server_that_dies_in_data_gets_the_same_mail_again(told: Told) -> None:
    seen: list[bytes] = []

    def die(server: SMTP) -> str | None:
        assert server.envelope is not None
        assert isinstance(server.envelope.content, bytes)
        seen.append(server.envelope.content)
        assert isinstance(server.transport, asyncio.Transport)
        server.transport.abort()
        return "250 OK"

    box = Mailbox(at_data=die)
    with mail_server(box) as port:
        told.write_plan(tell(port))
        assert len(told.send()) == 2
        box.at_data = lambda _: None
        assert told.send() == []
    assert box.mails[0][1] == seen[0]
    assert len(box.mails) == 2


def test_a_server_that_hangs_is_left_after_the_timeout(told: Told) -> None:
    box = Mailbox(hang=True)
    with mail_server(box) as port:
        told.write_plan(tell(port, timeout="0.2s"))
        assert len(told.send()) == 2
    assert "timed out" in told.errors()[BOTH[0]]


def test_a_login_over_starttls_is_verified_and_the_password_is_nowhere(told: Told) -> None:
    box, pem = Mailbox(), certificate(told.directory)
    secret = told.directory / "password"
    secret.write_text("wrong, wrong, wrong")
    secret.chmod(0o600)
    smtp = 'security = "starttls"\nuser = "me"\npassword_file = "password"\n'
    trusted = f'{smtp}ca = "{pem.name}"\n'
    with mail_server(box, pem) as port:
        told.write_plan(tell(port, smtp=smtp))
        assert "certificate verify failed" in told.send()[0]
        told.write_plan(tell(port, smtp=trusted))
        assert "535" in told.send()[0]
        secret.write_text(f"{PASSWORD}\n")
        secret.chmod(0o640)
        assert "other users can access the secret" in told.send()[0]
        assert box.mails == []
        secret.chmod(0o600)
        assert told.send() == []
        assert box.logins[-1] == ("me", PASSWORD)
        assert len(box.mails) == 2
    for path in told.directory.rglob("*"):
        if path.is_file() and path != secret:
            assert PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("where", "state"), [("recipient", MessageState.SENT), ("data", MessageState.UNCERTAIN)]
)
def test_nothing_is_sent_twice_after_a_kill(told: Told, where: str, state: MessageState) -> None:
    box, killed = Mailbox(), threading.Event()
    with mail_server(box) as port:
        told.write_plan(tell(port, mail=BOTH[:1]))
        child = subprocess.Popen([sys.executable, "-c", _SENDER, str(told.directory)])

        def kill(_: object) -> None:
            if not killed.is_set():
                killed.set()
                child.kill()
                child.wait()

        setattr(box, f"at_{where}", kill)
        child.wait(timeout=300)
        assert killed.is_set()
        lines = told.send()
        assert told.send() == []
    assert bool(lines) == (state is MessageState.UNCERTAIN)
    assert BOTH[0] in told.errors(state)
    assert len(box.mails) == 1


_SENDER = """
import sys
from pathlib import Path
from harness.history.database import Database
from harness.history.outbox import Outbox
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.nightly.planfile import read_plan
from harness.runs.environment import Environment
from harness.runs.nights.tell import deliver
top = Path(sys.argv[1])
workspace = Workspace(top / "cache", top / "state", top / "run")
env = Environment(workspace=workspace, runner=HostRunner(), clock=HostClock())
outbox = Outbox(Database.open(top / "state" / "nightly" / "made.sqlite"), "made")
deliver(read_plan(top / "nightly.toml"), top, outbox, env)
"""


def test_an_author_is_written_to_only_if_the_plan_allows_the_address(tmp_path: Path) -> None:
    box = Mailbox()
    with mail_server(box) as port:
        nights = Nights(tmp_path, cells=tell(port))
        author = git(nights.tree, "log", "-1", "--format=%ae")
        nights.night()
        nights.commit(Fault("no ideas left", 0, nodes=(4,)))
        nights.night()
        assert {address for address, _ in box.mails} == set(BOTH)
        nights.cells = tell(port, more=f'authors = ["*@{author.rpartition("@")[2]}"]')
        nights.write_plan()
        nights.commit(Fault("no hope left", 0, nodes=(2,)))
        nights.night()
        assert {address for address, _ in box.mails} == {*BOTH, author}
        mail = next(parsed(data) for address, data in box.mails if address == author)
        assert "no hope left" in mail["Subject"]
        assert "since" in mail["Subject"]


def test_a_missing_night_is_told_once(tmp_path: Path) -> None:
    box = Mailbox()
    with mail_server(box) as port:
        nights = Nights(tmp_path, cells=tell(port))
        nights.night()
        request = NightRequest(tmp_path / "nightly.toml")
        with nights.environment() as env:
            opened = open_plan(request, env)
            env.clock.sleep(40 * 3600)
            for _ in range(2):
                found = night_status(opened, env)
                assert found.late
                now = env.clock.now()
                queue_late(opened.plan, opened.outbox, found.text, now, found.number)
                assert tell_night(opened, request.plan, env) == []
    assert len(box.mails) == 2
    assert parsed(box.mails[0][1])["Subject"].startswith("[made] a night is missing: night 1 of")


@contextmanager
def chat_server(status: int = 200) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Yield the port of an HTTP server that takes apprise's JSON messages."""
    taken: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, taken
        finally:
            server.shutdown()
            thread.join()


def test_a_chat_gets_the_digest_and_its_url_is_nowhere(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.write_plan(f"[tell]{CHAT}")
    (line,) = told.send()
    assert "OPS_CHAT" in line
    with chat_server(status=500) as (port, taken):
        monkeypatch.setenv("OPS_CHAT", f"json://127.0.0.1:{port}/unguessable-token")
        (line,) = told.send()
        assert "unguessable-token" not in line
        assert len(taken) == 1
    with chat_server() as (port, taken):
        monkeypatch.setenv("OPS_CHAT", f"json://127.0.0.1:{port}/unguessable-token")
        assert told.send() == []
        assert told.send() == []
    (message,) = taken
    assert message["title"].startswith("[made] One new regression")
    assert "no ideas left" in message["message"]
    for path in told.directory.rglob("*"):
        if path.is_file():
            assert b"unguessable-token" not in path.read_bytes(), path
