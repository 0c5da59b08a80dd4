"""Digests and mails of hostile text: no header, no tag and no control character comes from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mail_server import parsed

from harness.nightly.night import (
    BranchNight,
    Classification,
    Incident,
    JudgedNight,
    News,
    NewsKind,
    Night,
    NightState,
    Problem,
    ProvenCulprit,
    Rate,
)
from harness.nightly.result import Result, Slot, Status
from harness.notify.digest import late_digest, night_digest, one_line
from harness.notify.mail import author_address, mail_of
from harness.notify.secrets import without_secrets

DAY = datetime(2026, 5, 1, tzinfo=UTC)
SLOT = Slot("tree:main", "boot-none-numa4")
HOSTILE = (
    "\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>{{ 7*7 }}{% raw %}\x1b[2J\u202e\0"
    "::add-mask::x\n##teamcity[x]\udc80"
)
HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "List-Id",
    "Auto-Submitted", "MIME-Version", "Content-Type",
}  # fmt: skip


def judged(text: str) -> JudgedNight:
    result = Result(SLOT, "c" * 40, Status.FAILED, title=text, id=1)
    culprit = ProvenCulprit("c" * 40, text, (SLOT,), (text,))
    problem = Problem(
        "0123abcd", text, "boot", Classification.REGRESSION, Rate(5, 5, 0.5, 1.0), 0, (5, 5), 1, 1,
        True, (Incident(SLOT, "c" * 40, "", result),), (SLOT,), culprit, why=text,
    )  # fmt: skip
    news = News(NewsKind.REGRESSION, "key", text, problem.id, SLOT, "c" * 40)
    night = Night("made", 7, NightState.ENDED, DAY, DAY, notes=(text,),
                  branches=(BranchNight("tree:main", "x", "c" * 40),))  # fmt: skip
    return JudgedNight(night, (result,), (problem,), (news,))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)


@given(st.text(max_size=200))
@example(HOSTILE)
@example("x" * 100_000)
@example("é" * 5000)
def test_no_text_of_a_guest_becomes_a_header_or_a_tag(text: str) -> None:
    digest = night_digest(judged(text), "https://ci.example.org/?a=1&b=2")
    data = mail_of(digest, "made", "night@example.net", "me@example.org", DAY, "night 7")
    mail = parsed(data)
    assert set(mail.keys()) == HEADERS
    assert mail["To"] == "me@example.org"
    assert len(mail["Subject"]) <= 200
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert data.isascii()
    tags = Tags()
    tags.feed(digest.html)
    assert tags.tags <= {
        "html", "head", "meta", "title", "body", "h1", "h2", "p", "ul", "li", "br", "code", "a",
        "strong",
    }  # fmt: skip
    assert all(char.isprintable() or char == "\n" for char in digest.text)
    assert "49" not in digest.subject or "49" in text


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text, 50)
    assert len(line) <= 50
    assert line.isprintable()


def test_many_news_are_counted_and_not_all_listed() -> None:
    night = judged("panic: x")
    news = tuple(replace(night.news[0], key=str(number)) for number in range(500))
    digest = night_digest(replace(night, news=news))
    assert "and 460 more" in digest.text
    assert len(digest.html) < 50_000


def test_the_same_message_has_the_same_id_and_another_has_another() -> None:
    digest = late_digest("made", "night 1 began 40 hours ago")

    def name(recipient: str, key: str) -> str:
        mail = mail_of(digest, "made", "night@example.net", recipient, DAY, key)
        return str(parsed(mail)["Message-ID"])

    assert name("a@example.org", "night 1") == name("a@example.org", "night 1")
    assert len({name("a@b", "night 1"), name("a@b", "night 2"), name("c@d", "night 1")}) == 3


@pytest.mark.parametrize(
    ("author", "address"),
    [
        ("A <a@example.org>", "a@example.org"),
        ("A <A@Example.org>", "A@Example.org"),
        ("A <a@evil.example>", None),
        ("A <a@example.org\r\nBcc: b@example.org>", None),
        ("a@example.org, b@example.org", None),
        ("A <a@example.org@evil.example>", None),
        ("", None),
    ],
)
def test_an_author_has_an_address_only_if_it_matches(author: str, address: str | None) -> None:
    found = author_address(author, ["*@example.org"])
    assert found in (address, None) if address is None else found == address


def test_secrets_are_hidden_in_each_form() -> None:
    said = "535 b3BlbiBzZXNhbWU= (open sesame) json://host/unguessable-token"
    hidden = without_secrets(said, ["open sesame", "json://u:password1@h/unguessable-token"])
    assert hidden == "535 [secret] ([secret]) json://host/[secret]"
