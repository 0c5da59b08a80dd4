"""URLs of histories: read, printed, and refused without a word of their passwords."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.history.servererrors import may_pass, server_error
from harness.history.url import DatabaseUrl, history_location

NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20)
HOSTS = st.sampled_from(["localhost", "127.0.0.1", "::1", "/run/postgresql", "db.example.org", ""])
FILES = st.builds(lambda name: f"/{name}", NAMES)


@given(
    st.builds(
        DatabaseUrl, HOSTS, st.integers(1, 65535), st.one_of(st.just(""), NAMES),
        NAMES.filter(lambda name: "/" not in name),
        st.lists(
            st.tuples(st.sampled_from(["passfile", "sslrootcert", "sslkey"]), FILES),
            unique_by=lambda pair: pair[0],
        ).map(tuple),
    )
)  # fmt: skip
def test_a_url_is_read_as_it_was_printed(url: DatabaseUrl) -> None:
    assert DatabaseUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:tru5tno1@db.example.org/night",
        "postgresql://db.example.org/night?password=tru5tno1",
        "postgresql://me:tru5tno1@/night",
        "postgres://:tru5tno1@db.example.org:x/night",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        DatabaseUrl.parse(text)
    assert "tru5tno1" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mysql://db/night", "mysql"),
        ("postgresql://db.example.org", "does not name one database"),
        ("postgresql://db.example.org/a/b", "does not name one database"),
        ("postgresql://one,two/night", "one host"),
        ("postgresql://db:99999/night", "port"),
        ("postgresql://db/night?sslmode=require", "without verifying"),
        ("postgresql://127.0.0.1.example.org/night?sslmode=disable", "without verifying"),
        ("postgresql://db/night?hostaddr=10.0.0.1", "hostaddr"),
        ("postgresql://db/night?passfil=/etc/x", "passfil"),
        ("postgresql://db/night?passfile=x", "absolute"),
        ("postgresql://db/night?passfile=/x&passfile=/y", "two parameters passfile"),
    ],
)
def test_a_url_that_would_not_do_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        DatabaseUrl.parse(text)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("db.example.org", "verify-full"), ("10.0.0.1", "verify-full"),
        ("[2001:db8::1]", "verify-full"), ("localhost", "prefer"), ("127.8.8.8", "prefer"),
        ("[::1]", "prefer"),
    ],
)  # fmt: skip
def test_only_the_loopback_address_does_without_tls(host: str, mode: str) -> None:
    arguments = DatabaseUrl.parse(f"postgresql://{host}/night").arguments()
    assert (arguments["sslmode"], arguments["hostaddr"]) == (mode, "")


def test_a_text_is_a_path_or_a_url() -> None:
    assert history_location("h.sqlite", Path("/plans")) == Path("/plans/h.sqlite")
    assert history_location("/h.sqlite", Path("/plans")) == Path("/h.sqlite")
    assert history_location("postgresql:///night") == DatabaseUrl("", 5432, "", "night")


@pytest.mark.parametrize(
    ("text", "state", "code", "passing"),
    [
        ('connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused\n'
         "\tIs the server running?", None, 3, True),
        ("connection failed: FATAL:  password authentication failed for user", None, 2, False),
        ("FATAL:  the database system is starting up", None, 3, True),
        ('SSL error: certificate verify failed', None, 3, False),
        ("could not translate host name", None, 3, True),
        ("permission denied for table nights", "42501", 2, False),
        ("could not extend file: No space left on device", "53100", 3, False),
        ("something new", "XX000", 3, False),
        ("", None, 3, True),
    ],
)  # fmt: skip
def test_an_error_of_a_server_is_one_line(
    text: str, state: str | None, code: int, passing: bool
) -> None:
    url = DatabaseUrl.parse("postgresql://me@db/night")
    error = server_error("read", url, text, state)
    assert (error.exit_code, "\n" in error.message) == (code, False)
    assert error.message.startswith("cannot read the history postgresql://me@db/night: ")
    assert may_pass(text, state) is passing
