"""Runs as people read them."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from cells import FRAMES, cell, run, unproven
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.outcome import Outcome
from harness.printable import printable
from harness.results.record import Cell, to_document
from harness.results.text import outcome_in_words, print_document, print_run


def told(*cells: Cell, width: int = 200) -> str:
    page = io.StringIO()
    print_run(run(*cells), Console(file=page, width=width, highlight=False))
    return page.getvalue()


def test_row_says_what_was_booted_where_and_what_became_of_it() -> None:
    title, _, row, summary = told(cell()).splitlines()
    words = ["kasan-numa2", "FreeBSD 13.2-RELEASE", "booted", "(no ", "12.3"]
    assert title.strip() == "FreeBSD 13.2-RELEASE, booted by qemu/tcg"
    assert summary == "1 of 1 as expected"
    assert [row.index(word) for word in words] == sorted(row.index(word) for word in words)


def test_mark_says_whether_that_was_expected() -> None:
    expected = (Outcome.PANIC, Outcome.TRAP)
    assert "as expected" in told(cell(Outcome.PANIC, expected=expected))
    unmet = told(cell(expected=expected))
    assert re.search(r"booted +panic or trap", unmet)
    assert "(no expectation)" in told(cell())
    assert "host failed" in told(cell(None, error="QEMU died", expected=expected))


def test_failure_is_told_with_its_backtrace() -> None:
    lines = told(cell(Outcome.PANIC)).splitlines()
    start = lines.index("kasan-numa2 (FreeBSD 13.2-RELEASE, kernel 1a2b3c4d5e)")
    assert lines[start + 1] == "  kernel resources: 4096"
    assert "  #0  panic at sys/kern/kern_shutdown.c:843" in lines[start:]


def test_boot_without_proof_says_what_is_wrong_and_shows_the_console() -> None:
    text = told(unproven())
    assert "not verified" in text
    assert text.count("the build id 77") == 2  # in the row, and among the doubts
    for words in ("build id ab12", "KASAN", "tcg", "the last line"):
        assert words in text


def test_failure_that_did_not_repeat_keeps_its_words() -> None:
    """It is unverified, though nothing speaks against the guest."""
    words = {"title": "hang, which did not repeat", "message": "the second boot reached init"}
    doubted = unproven().verification
    assert doubted
    proven = replace(doubted, doubts=())
    assert words["message"] in told(cell(Outcome.UNVERIFIED, words=words, verification=proven))


def test_kernel_that_differs_says_how() -> None:
    differences = ("it sees 1 memory domains, not 2",)
    words = {"title": "it sees n domains", "message": differences[0]}
    text = told(cell(Outcome.DIFFERS, words=words, disagreements=differences))
    assert "differs from the machine" in text
    assert differences[0] in text


def test_record_of_an_older_harness_is_told() -> None:
    document = to_document(run(cell(Outcome.PANIC)))
    for one in document["cells"]:
        for name in ("verification", "verified", "console"):
            del one[name]
    page = io.StringIO()
    print_document(document, Console(file=page, width=200))
    assert "kernel resources: 4096" in page.getvalue()


def test_long_backtrace_is_cut() -> None:
    text = told(cell(Outcome.PANIC, words={"symbolized": FRAMES[:1] * 100}))
    assert "… and 76 more frames" in text


def test_hosts_trouble_is_told_with_its_remedy() -> None:
    text = told(cell(None, error="QEMU died\nreinstall it", kernel=None))
    assert "host: QEMU died" in text
    assert "kasan-numa2 (FreeBSD 13.2-RELEASE)\n  QEMU died\n  reinstall it\n" in text


def test_warnings_of_a_boot_are_told_up_to_a_number() -> None:
    text = told(cell(warnings=tuple(f"w{number}" for number in range(9))))
    assert text.count("  warning: w") == 5


def test_record_that_was_kept_reads_the_same() -> None:
    cells = (cell(Outcome.PANIC), cell(None, error="QEMU died"))
    page = io.StringIO()
    print_document(to_document(run(*cells)), Console(file=page, width=200, highlight=False))
    assert page.getvalue() == told(*cells)


def test_outcome_in_words() -> None:
    assert outcome_in_words(cell()) == "booted"
    assert outcome_in_words(cell(Outcome.PANIC)) == "panic: kernel resources exhausted"
    assert outcome_in_words(cell(None, error="QEMU died\nmore")) == "host: QEMU died"
    assert outcome_in_words(cell(None)) == "host: no verdict"


@given(st.text())
def test_no_control_character_is_printable(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert all(char.isprintable() for char in shown)


@given(st.text(), st.text(), st.text())
def test_nothing_that_a_guest_prints_reaches_the_terminal(
    title: str, message: str, guest: str
) -> None:
    hostile = {"title": title, "message": message}
    text = told(
        cell(Outcome.PANIC, words=hostile, guest=guest, warnings=(message,)),
        cell(None, error=message or "x", guest=guest),
    )
    assert all(char.isprintable() or char == "\n" for char in text)


def test_markup_in_a_guests_words_is_no_markup() -> None:
    assert "[bold red]x[/]" in told(cell(Outcome.PANIC, words={"title": "[bold red]x[/]"}))


def test_rows_name_by_what_each_was_booted_where_that_differs() -> None:
    one, other = told(cell(), cell(name="other", accelerator="kvm")).splitlines()[1:3]
    assert "qemu/tcg" in one
    assert "qemu/kvm" in other


@pytest.mark.parametrize("outcome", [Outcome.BOOTED, Outcome.PANIC, Outcome.DIFFERS])
def test_table_fits_a_terminal_of_80_columns_and_each_row_says_what_was_booted(
    outcome: Outcome,
) -> None:
    title = "vm_map_entry_create: kernel resources exhausted, and so on and so forth"
    cells = (
        cell(outcome, name="before-kasan-numa4", words={"title": title, "message": ""}),
        cell(outcome, name="after-kasan-numa4", guest="built-in guest (not FreeBSD)"),
    )
    page = io.StringIO()
    print_document(to_document(run(*cells)), Console(file=page, width=80, highlight=False))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("before-kasan-numa4" in line and "13.2-RELEASE" in line for line in lines)
    assert any("after-kasan-numa4" in line and "not FreeBSD" in line for line in lines)
    assert lines[-1] == f"{2 * (outcome is Outcome.BOOTED)} of 2 as expected"


def test_last_line_counts_what_has_no_result() -> None:
    document = to_document(run(cell(Outcome.PANIC), cell(None, name="host", error="QEMU died")))
    planned = [*(each["name"] for each in document["cells"]), "a", "b"]
    early = {**document, "state": "interrupted", "cause": "interrupted", "planned": planned}
    page = io.StringIO()
    print_document(early, Console(file=page, width=200))
    *_, why, left, _, last = page.getvalue().splitlines()
    assert (why, left) == ("did not finish: interrupted", "without a result: a, b")
    assert last == "0 of 4 as expected, 1 host failure, 2 without a result"


def test_reports_that_fail_come_first_and_a_table_does_not_list_all() -> None:
    titles = tuple(f"race {number}" for number in range(12))
    reporting = cell(words={"reports": titles}, failing=titles[9:11])
    lines = [line.strip() for line in told(reporting).splitlines() if "report" in line]
    assert lines[1:3] == ["failing report: race 9", "failing report: race 10"]
    assert lines[-2:] == ["report: race 5", "… and 4 more reports"]
    assert "no sanitizer report" in lines[0]


def test_a_survived_report_stands_in_the_outcome() -> None:
    assert "booted, 1 report " in told(cell(words={"reports": ("race",)}))
    assert "booted, 2 reports " in told(cell(words={"reports": ("race", "overflow")}))


def on_terminal(width: int, *cells: Cell) -> list[str]:
    page = io.StringIO()
    console = Console(file=page, width=width, highlight=False, force_terminal=True, no_color=True)
    print_run(run(*cells), console)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in page.getvalue().splitlines()]


def test_a_narrow_terminal_gets_lines_for_each_cell_instead_of_a_table() -> None:
    panicked = cell(Outcome.PANIC, expected=(Outcome.BOOTED,))
    lines = on_terminal(40, panicked, cell(expected=(Outcome.BOOTED,), name="other"))
    assert max(map(len, lines)) <= 40
    assert "  expected: booted (12.3 s)" in lines
    assert lines.index("other (13.2-RELEASE)") + 1 == lines.index("  booted")
    assert not any(line.startswith("cell") for line in lines)


def test_long_names_of_cells_do_not_squeeze_the_outcome() -> None:
    """As those of a night have; a column of three letters is not readable."""
    long = cell(Outcome.PANIC, expected=(Outcome.PANIC,), name="0-6fc7b5021f-control-kasan-numa2")
    title = outcome_in_words(long)
    assert title in on_terminal(120, long)[2]
    lines = on_terminal(80, long)
    assert lines[1:3] == ["0-6fc7b5021f-control-kasan-numa2 (13.2-RELEASE)", f"  {title}"]


def test_a_long_line_of_the_console_is_wrapped_below_itself() -> None:
    frame = "db_trace_self_wrapper() at db_trace_self_wrapper+0xa9/frame 0xfffffe0073bd36b0"
    lines = on_terminal(80, cell(Outcome.PANIC, console=(frame,), expected=(Outcome.BOOTED,)))
    place = lines.index("      db_trace_self_wrapper() at db_trace_self_wrapper+0xa9/frame")
    assert lines[place + 1] == "        0xfffffe0073bd36b0"
