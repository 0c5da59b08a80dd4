"""``harness report --html``: the record of any run as pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from documents import ALLOWED, Document, broken_links
from fake_environment import NODES, FakeProvider, fake_environment
from fake_guests import boots, number_of, panics

from harness.errors import UsageError
from harness.guest.fake import Script
from harness.guest.spec import GuestSpec
from harness.kyua.tests import TestId, TestOutcome, TestResult
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.pages.rendering import Site
from harness.pages.runsite import write_run
from harness.results.record import to_judgement_document, to_test_document
from harness.runs.compare import CompareRequest, Pair, compare
from harness.source.request import KernelRequest

HOSTILE = "</pre><script>alert(1)</script>{{ 7 * 7 }}\x1b[2J"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a comparison, of which one side panics."""

    def play(spec: GuestSpec) -> Script:
        return panics(spec) if number_of(spec) == 1 else boots(spec)

    directory = tmp_path_factory.mktemp("compared")
    provider = FakeProvider(directory, lambda what: int(what.change.revision or "0"))
    with fake_environment(directory, play, provider) as env:
        pair = Pair(before="0", after="1")
        return compare(
            CompareRequest(KernelRequest("made"), pair, replace(NODES, numa="1,2")), env
        ).directory


@pytest.fixture
def record(compared: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((compared / "record.json").read_text())
    return document


def page_of(record: dict[str, Any], run: Path, site: Path) -> Document:
    place = write_run(Site(site), record, run)
    assert not broken_links(site)
    page = Document(site / place)
    assert set(page.tags) <= ALLOWED
    assert "\x1b" not in page.text
    return page


def test_a_failure_is_shown_with_its_console_and_what_is_different(
    record: dict[str, Any], compared: Path, tmp_path: Path
) -> None:
    text = page_of(record, compared, tmp_path).text
    for part in (
        "2 of 4 as expected.", "panic: no ideas left", "#1  thinker at ",
        f"harness runs retry {record['name']} after-none-numa2",
        "Difference from the console of before-none-numa2", "+ panic: no ideas left",
    ):  # fmt: skip
        assert part in text, part


def with_tests(record: dict[str, Any]) -> None:
    failed = TestOutcome(TestId("sys/vm", HOSTILE, "x"), TestResult.FAILED, HOSTILE)
    passed = TestOutcome(TestId("sys/vm", "good", "x"), TestResult.PASSED)
    record["tests"] = [to_test_document(each) for each in (failed, passed)]
    record["wrong_suites"] = {"sys/none": HOSTILE}


def with_mutants(record: dict[str, Any]) -> None:
    found = Judgement(HOSTILE, MutantOutcome.CAUGHT, "boot", 2.0, HOSTILE)
    record["mutants"] = [to_judgement_document(found)]


def with_command(record: dict[str, Any]) -> None:
    record["cells"][0]["program"] = {
        "command": HOSTILE, "unfinished": "", "signal": "", "status": 3, "stdout": 1, "stderr": 2,
    }  # fmt: skip
    record["cells"][0]["as_expected"] = False


def without_an_end(record: dict[str, Any]) -> None:
    record.update(cells=[], state="aborted", cause=HOSTILE, started="once", source="")


@pytest.mark.parametrize("change", [with_tests, with_mutants, with_command, without_an_end])
def test_every_kind_of_record_is_shown_and_its_texts_are_text(
    record: dict[str, Any], compared: Path, tmp_path: Path, browser: Browser,
    change: Callable[[dict[str, Any]], None],
) -> None:  # fmt: skip
    change(record)
    for cell in record["cells"]:
        cell["verdict"]["message"] = cell["verdict"]["title"] = HOSTILE
    page = page_of(record, compared, tmp_path)
    assert "</pre><script>alert(1)</script>{{ 7 * 7 }}\N{REPLACEMENT CHARACTER}[2J" in page.text
    browser.open((tmp_path / "index.html").as_uri(), 390)
    assert browser.value("document.documentElement.scrollWidth") == 390


def test_a_record_whose_consoles_have_expired_has_a_report(
    record: dict[str, Any], tmp_path: Path
) -> None:
    assert "panic: no ideas left" in page_of(record, tmp_path / "gone", tmp_path / "site").text


def test_a_page_of_somebody_else_is_not_written_over(
    record: dict[str, Any], compared: Path, tmp_path: Path
) -> None:
    page_of(record, compared, tmp_path)
    page_of(record, compared, tmp_path)
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="would be lost"):
        write_run(Site(tmp_path), record, compared)
    assert (tmp_path / "index.html").read_text() == "mine"
