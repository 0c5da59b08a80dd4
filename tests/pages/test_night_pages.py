"""Pages of nights: what they say, where their links lead, and what hostile guests can do."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from documents import ALLOWED, Document, broken_links, documents
from fake_nights import Fault, Nights
from hostile_nights import SUBJECT, TITLE, HostileNights, hostile_nights

from harness.errors import InfraError, UsageError
from harness.runs.nights.openplan import NightRequest, open_plan
from harness.runs.nights.pages import night_pages

FOUR = (4,)


def test_a_nights_page_says_what_broke_since_when_and_how_to_see_it(tmp_path: Path) -> None:
    nights = Nights(tmp_path, keys='pages = "pages"')
    nights.night()
    nights.commit()
    culprit = nights.commits[nights.commit(Fault("no ideas left", 0, nodes=FOUR))]
    nights.commit()
    result = nights.night()
    assert result.index == tmp_path / "pages" / "index.html"
    night = Document(tmp_path / "pages" / "nights" / "2" / "index.html")
    sentence = f"One new regression in nine cells, since {culprit[:10]} (Change 2)."
    assert sentence in night.text
    assert sentence in Document(result.index).text
    command = (
        f"harness boot --source {nights.tree} --rev {culprit} --numa 4 --accelerator tcg "
        "--boot direct"
    )
    assert command in night.text
    (problem,) = result.judged.problems
    page = Document(tmp_path / "pages" / "problems" / f"{problem.id}.html").text
    for part in (
        "no ideas left in thinker", command, "#1  thinker at ", "5 of 5 repeats failed",
        "first in night 2", "- acpi0: Powering system off", "+ panic: no ideas left",
    ):  # fmt: skip
        assert part in page, part
    text = (tmp_path / "pages" / "problems" / f"{problem.id}.html").read_text()
    assert "<mark>panic: no ideas left</mark>" in text
    assert not broken_links(tmp_path / "pages")


def test_a_nights_page_shows_what_each_host_did_if_there_were_several(tmp_path: Path) -> None:
    nights = Nights(tmp_path, keys='pages = "pages"')
    nights.night()
    assert "Hosts" not in Document(tmp_path / "pages" / "nights" / "1" / "index.html").text
    (history,) = tmp_path.rglob("*.sqlite")
    with sqlite3.connect(history) as connection:
        connection.execute("UPDATE results SET host = 'quick', seconds = 30")
        connection.execute(
            "UPDATE results SET host = '<b>bold</b>', status = 'host failed' "
            "WHERE id = (SELECT max(id) FROM results)"
        )
        (quick,) = connection.execute(
            "SELECT count(*) FROM results WHERE host = 'quick' AND shared IS NULL "
            "AND status <> 'not run'"
        ).fetchone()
    with nights.environment() as env:
        opened = open_plan(NightRequest(tmp_path / "nightly.toml"), env)
        again = night_pages(opened, tmp_path / "again").parent
    page = Document(again / "nights" / "1" / "index.html").text
    # Results, failed, host failed, time: fields of a table.
    assert f"quick{quick}00{30 * quick} s" in page
    assert "<b>bold</b>101" in page


def test_pages_made_again_from_the_history_are_those_that_each_night_made(
    nights: HostileNights, hostile: Path, tmp_path: Path
) -> None:
    with nights.environment() as env:
        opened = open_plan(NightRequest(nights.directory / "nightly.toml"), env)
        again = night_pages(opened, tmp_path, (1, 2)).parent
    names = {str(file.relative_to(hostile)) for file in hostile.rglob("*") if file.is_file()}
    assert names == {str(file.relative_to(again)) for file in again.rglob("*") if file.is_file()}
    for name in names:
        assert (hostile / name).read_bytes() == (again / name).read_bytes(), name


def test_pages_that_cannot_be_written_lose_nothing_of_the_night(tmp_path: Path) -> None:
    nights = Nights(tmp_path, keys='pages = "pages"')

    def replace_by_a_file() -> None:
        shutil.rmtree(tmp_path / "pages", ignore_errors=True)
        if not (tmp_path / "pages").exists():
            (tmp_path / "pages").write_text("a file")

    nights.at_boot = replace_by_a_file
    result = nights.night()
    assert result.judged.night.exit_code == 0
    assert result.exit_code == 3
    assert str(tmp_path / "pages") in result.unwritten


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda pages: pages.write_text("a file"), InfraError),
        (lambda pages: (pages.mkdir(), (pages / "index.html").write_text("mine")), UsageError),
    ],
)
def test_pages_that_cannot_be_written_are_named_before_the_night_begins(
    tmp_path: Path, make: Callable[[Path], object], error: type[Exception]
) -> None:
    nights = Nights(tmp_path, keys='pages = "pages"')
    make(tmp_path / "pages")
    with pytest.raises(error, match=str(tmp_path / "pages")):
        nights.night()
    assert nights.boots == 0


def test_what_guests_and_commits_wrote_is_text(hostile: Path) -> None:
    for file, page in documents(hostile):
        assert set(page.tags) <= ALLOWED, file
        assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page.text), file
    assert not broken_links(hostile)
    (night,) = [page for file, page in documents(hostile) if "nights/2/index" in str(file)]
    assert SUBJECT[:60] in night.text
    problems = [page.text for file, page in documents(hostile) if file.parent.name == "problems"]
    (shown,) = [text for text in problems if TITLE in text]
    assert "+ harness: booted" in shown
    assert "+ -->]]></pre></textarea><style>" in shown


def test_a_console_that_says_booted_is_believed_nowhere(hostile: Path) -> None:
    night = Document(hostile / "nights" / "2" / "index.html")
    assert "One new regression" in night.text


def test_consoles_are_text_without_commands_for_terminals(hostile: Path) -> None:
    consoles = list((hostile / "consoles").iterdir())
    assert consoles
    for file in consoles:
        text = file.read_text("utf-8")
        assert all(line.isprintable() for line in text.splitlines())
        assert max(map(len, text.splitlines())) <= 400


def test_charts_are_well_formed_and_have_alternatives(hostile: Path) -> None:
    charts = list(hostile.rglob("*.svg"))
    assert charts
    for file in charts:
        title = ET.parse(file).getroot().find("{http://www.w3.org/2000/svg}title")  # noqa: S314
        assert title is not None
        assert title.text


@pytest.mark.long
def test_a_line_of_ten_megabytes_does_not_fill_the_pages(tmp_path: Path) -> None:
    site = hostile_nights(tmp_path, line=10 << 20).directory / "pages"
    assert sum(file.stat().st_size for file in site.rglob("*")) < 1 << 20
    page = next(file for file in site.glob("problems/*.html") if "7 * 7" in file.read_text())
    assert "<mark>panic: " in page.read_text()
